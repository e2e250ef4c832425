/* Max pooling of images with the axes (image, row, column, channel). */
#include <algorithm>
#include <cstring>
#include <vector>

#include "../native/kernel.h"
#include "activations.h"

using namespace arignote;

struct Pool {
  int64_t n_images, height, width, n_channels;       /* of the input images */
  int64_t rows, columns;                             /* the number of windows */
  int64_t window_rows, window_columns, down, across; /* their size and the step between them, in pixels */

  int64_t size_in() const { return n_images * height * width * n_channels; }
  int64_t size_out() const { return n_images * rows * columns * n_channels; }
  /* The offset of the first pixel of the window at (row, column) of an image. */
  int64_t corner(int64_t image, int64_t row, int64_t column) const {
    return ((image * height + row * down) * width + column * across) * n_channels;
  }
  /* Call visit(index, offset) for each pixel of the window at (row, column) that is in the image: its index in the
     window, in row-major order, and its offset from the first pixel. The edge of the image cuts off some windows. */
  template <class Visit>
  void each_pixel(int64_t row, int64_t column, Visit visit) const {
    int64_t n_rows = std::min(window_rows, height - row * down);
    int64_t n_columns = std::min(window_columns, width - column * across);
    for (int64_t i = 0; i < n_rows; i++)
      for (int64_t j = 0; j < n_columns; j++) visit(i * window_columns + j, (i * width + j) * n_channels);
  }
};

static Pool read_pool(const Arguments& args, int in, int out) {
  const intptr_t *a = args.array(in).shape, *b = args.array(out).shape;
  return {a[0], a[1], a[2], a[3], b[1], b[2], args.integer(0), args.integer(1), args.integer(2), args.integer(3)};
}

/* Write the maximum of each window and its index. NaN counts as largest. */
template <class T, class Index>
static void pool_forward(const Arguments& args, const Pool& pool) {
  T* out = args.data<T>(0, pool.size_out());
  Index* indices = args.data<Index>(1, pool.size_out());
  const T* x = args.data<T>(2, pool.size_in());
  int64_t n = pool.n_channels;
#pragma omp parallel for schedule(static)
  for (int64_t line = 0; line < pool.n_images * pool.rows; line++) {
    for (int64_t column = 0; column < pool.columns; column++) {
      const T* window = x + pool.corner(line / pool.rows, line % pool.rows, column);
      int64_t target = (line * pool.columns + column) * n;
      T* best = out + target;
      Index* where = indices + target;
      for (int64_t i = 0; i < n; i++) best[i] = window[i], where[i] = 0;
      pool.each_pixel(line % pool.rows, column, [=](int64_t index, int64_t offset) {
        if (index == 0) return;
        const T* pixel = window + offset;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
          bool larger = pixel[i] > best[i] || pixel[i] != pixel[i];
          best[i] = larger ? pixel[i] : best[i];
          where[i] = larger ? (Index)index : where[i];
        }
      });
    }
  }
}

/* The same, but compare the activations of the values; write the value before the activation. */
template <class T, class Index, class F>
static void pool_by_activation(const Arguments& args, const Pool& pool) {
  T* out = args.data<T>(0, pool.size_out());
  Index* indices = args.data<Index>(1, pool.size_out());
  const T* x = args.data<T>(2, pool.size_in());
  int64_t n = pool.n_channels;
  const T* bias = args.data<T>(3, n);
  const T* a = F::n_learned > 0 ? args.data<T>(4, n) : bias;
  const T* b = F::n_learned > 1 ? args.data<T>(5, n) : bias;
#pragma omp parallel
  {
    std::vector<T> buffer(n);
    T* best = buffer.data();
#pragma omp for schedule(static)
    for (int64_t line = 0; line < pool.n_images * pool.rows; line++) {
      for (int64_t column = 0; column < pool.columns; column++) {
        const T* window = x + pool.corner(line / pool.rows, line % pool.rows, column);
        int64_t target = (line * pool.columns + column) * n;
        T* maximum = out + target;
        Index* where = indices + target;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
          best[i] = F::value(window[i] + bias[i], a[i], b[i]);
          maximum[i] = window[i];
          where[i] = 0;
        }
        pool.each_pixel(line % pool.rows, column, [=](int64_t index, int64_t offset) {
          if (index == 0) return;
          const T* pixel = window + offset;
#pragma omp simd
          for (int64_t i = 0; i < n; i++) {
            T value = F::value(pixel[i] + bias[i], a[i], b[i]);
            bool larger = value > best[i] || value != value;
            best[i] = larger ? value : best[i];
            maximum[i] = larger ? pixel[i] : maximum[i];
            where[i] = larger ? (Index)index : where[i];
          }
        });
      }
    }
  }
}

/* Pass each gradient to the pixel of the maximum. Windows that do not overlap are written without accumulation. */
template <class T, class Index>
static void pool_backward(const Arguments& args, const Pool& pool) {
  T* out = args.data<T>(0, pool.size_in());
  const T* gradient = args.data<T>(1, pool.size_out());
  const Index* indices = args.data<Index>(2, pool.size_out());
  int64_t n = pool.n_channels;
  int64_t image_size = pool.height * pool.width * n;
  bool disjoint = pool.down >= pool.window_rows && pool.across >= pool.window_columns;
  bool covers_image = pool.down == pool.window_rows && pool.across == pool.window_columns &&
                pool.rows * pool.down >= pool.height && pool.columns * pool.across >= pool.width;
#pragma omp parallel for schedule(static)
  for (int64_t image = 0; image < pool.n_images; image++) {
    if (!covers_image) std::memset(out + image * image_size, 0, image_size * sizeof(T));
    for (int64_t row = 0; row < pool.rows; row++) {
      for (int64_t column = 0; column < pool.columns; column++) {
        T* window = out + pool.corner(image, row, column);
        int64_t source = ((image * pool.rows + row) * pool.columns + column) * n;
        const T* g = gradient + source;
        const Index* where = indices + source;
        pool.each_pixel(row, column, [=](int64_t index, int64_t offset) {
          T* pixel = window + offset;
          if (disjoint) {
#pragma omp simd
            for (int64_t i = 0; i < n; i++) pixel[i] = where[i] == index ? g[i] : 0;
          } else {
#pragma omp simd
            for (int64_t i = 0; i < n; i++) pixel[i] += where[i] == index ? g[i] : 0;
          }
        });
      }
    }
  }
}

template <class T, class F>
static void dispatch_index(const Arguments& args, const Pool& pool) {
  if (args.array(1).type == 'B') pool_by_activation<T, uint8_t, F>(args, pool);
  else pool_by_activation<T, int32_t, F>(args, pool);
}

template <class T>
static void dispatch_activation(const Arguments& args, const Pool& pool, int64_t number) {
  DISPATCH_ACTIVATION(number, dispatch_index, T, args, pool)
}

template <class T>
static void any_forward(const Arguments& args, const Pool& pool) {
  if (args.array(1).type == 'B') pool_forward<T, uint8_t>(args, pool);
  else pool_forward<T, int32_t>(args, pool);
}

template <class T>
static void any_backward(const Arguments& args, const Pool& pool) {
  if (args.array(2).type == 'B') pool_backward<T, uint8_t>(args, pool);
  else pool_backward<T, int32_t>(args, pool);
}

/* Arrays: out, indices, x. Numbers: rows and columns of a window, step down and across. */
KERNEL(max_pool) { DISPATCH_FLOAT_TYPE(2, any_forward, args, read_pool(args, 2, 0)); }

/* Arrays: out, indices, x, bias, learned ... Numbers: the same, and the number of the activation. */
KERNEL(max_pool_by_activation) {
  DISPATCH_FLOAT_TYPE(2, dispatch_activation, args, read_pool(args, 2, 0), args.integer(4));
}

/* Arrays: the gradient of x; the gradient of the output, indices. Numbers: the same. */
KERNEL(max_pool_gradient) { DISPATCH_FLOAT_TYPE(1, any_backward, args, read_pool(args, 0, 1)); }
