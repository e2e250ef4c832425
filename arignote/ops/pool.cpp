/* Max pooling of images in the order (image, row, column, channel). */
#include <cstring>
#include <vector>

#include "../native/kernel.h"
#include "activations.h"

using namespace arignote;

struct Pool {
  int64_t n_images, height, width, n_channels;       /* of what is pooled */
  int64_t rows, columns;                             /* how many windows, down and across */
  int64_t window_rows, window_columns, down, across; /* their size and distance, in pixels */

  int64_t size_in() const { return n_images * height * width * n_channels; }
  int64_t size_out() const { return n_images * rows * columns * n_channels; }
  /* Where the window at (row, column) of an image begins. */
  int64_t corner(int64_t image, int64_t row, int64_t column) const {
    return ((image * height + row * down) * width + column * across) * n_channels;
  }
  /* How far pixel `place` of a window is from its corner; pixels are numbered by rows. */
  int64_t offset(int64_t place) const {
    return (place / window_columns * width + place % window_columns) * n_channels;
  }
};

static Pool read_pool(const Arguments& args, int in, int out) {
  const intptr_t *a = args.array(in).shape, *b = args.array(out).shape;
  return {a[0], a[1], a[2], a[3], b[1], b[2], args.whole(0), args.whole(1), args.whole(2), args.whole(3)};
}

/* Keep the largest value of each window, and the number of its pixel. NaN is largest. */
template <class T, class Place>
static void pool_forward(const Arguments& args, const Pool& pool) {
  T* out = args.data<T>(0, pool.size_out());
  Place* places = args.data<Place>(1, pool.size_out());
  const T* x = args.data<T>(2, pool.size_in());
  int64_t area = pool.window_rows * pool.window_columns, n = pool.n_channels;
#pragma omp parallel for schedule(static)
  for (int64_t line = 0; line < pool.n_images * pool.rows; line++) {
    for (int64_t column = 0; column < pool.columns; column++) {
      const T* window = x + pool.corner(line / pool.rows, line % pool.rows, column);
      int64_t target = (line * pool.columns + column) * n;
      T* best = out + target;
      Place* where = places + target;
      for (int64_t i = 0; i < n; i++) best[i] = window[i], where[i] = 0;
      for (int64_t place = 1; place < area; place++) {
        const T* pixel = window + pool.offset(place);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
          bool larger = pixel[i] > best[i] || pixel[i] != pixel[i];
          best[i] = larger ? pixel[i] : best[i];
          where[i] = larger ? (Place)place : where[i];
        }
      }
    }
  }
}

/* The same, but the largest is the one whose activation is; what is kept is the value before it. */
template <class T, class Place, class F>
static void pool_by_activation(const Arguments& args, const Pool& pool) {
  T* out = args.data<T>(0, pool.size_out());
  Place* places = args.data<Place>(1, pool.size_out());
  const T* x = args.data<T>(2, pool.size_in());
  int64_t area = pool.window_rows * pool.window_columns, n = pool.n_channels;
  const T* bias = args.data<T>(3, n);
  const T* a = F::n_learned > 0 ? args.data<T>(4, n) : bias;
  const T* b = F::n_learned > 1 ? args.data<T>(5, n) : bias;
#pragma omp parallel
  {
    std::vector<T> room(n);
    T* best = room.data();
#pragma omp for schedule(static)
    for (int64_t line = 0; line < pool.n_images * pool.rows; line++) {
      for (int64_t column = 0; column < pool.columns; column++) {
        const T* window = x + pool.corner(line / pool.rows, line % pool.rows, column);
        int64_t target = (line * pool.columns + column) * n;
        T* kept = out + target;
        Place* where = places + target;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
          best[i] = F::value(window[i] + bias[i], a[i], b[i]);
          kept[i] = window[i];
          where[i] = 0;
        }
        for (int64_t place = 1; place < area; place++) {
          const T* pixel = window + pool.offset(place);
#pragma omp simd
          for (int64_t i = 0; i < n; i++) {
            T value = F::value(pixel[i] + bias[i], a[i], b[i]);
            bool larger = value > best[i] || value != value;
            best[i] = larger ? value : best[i];
            kept[i] = larger ? pixel[i] : kept[i];
            where[i] = larger ? (Place)place : where[i];
          }
        }
      }
    }
  }
}

/* Hand each gradient to the pixel that was largest. Windows that do not overlap are simply written. */
template <class T, class Place>
static void pool_backward(const Arguments& args, const Pool& pool) {
  T* out = args.data<T>(0, pool.size_in());
  const T* gradient = args.data<T>(1, pool.size_out());
  const Place* places = args.data<Place>(2, pool.size_out());
  int64_t area = pool.window_rows * pool.window_columns, n = pool.n_channels;
  int64_t image_size = pool.height * pool.width * n;
  bool apart = pool.down >= pool.window_rows && pool.across >= pool.window_columns;
  bool covers = pool.down == pool.window_rows && pool.across == pool.window_columns &&
                pool.rows * pool.down == pool.height && pool.columns * pool.across == pool.width;
#pragma omp parallel for schedule(static)
  for (int64_t image = 0; image < pool.n_images; image++) {
    if (!covers) std::memset(out + image * image_size, 0, image_size * sizeof(T));
    for (int64_t row = 0; row < pool.rows; row++) {
      for (int64_t column = 0; column < pool.columns; column++) {
        T* window = out + pool.corner(image, row, column);
        int64_t source = ((image * pool.rows + row) * pool.columns + column) * n;
        const T* g = gradient + source;
        const Place* where = places + source;
        for (int64_t place = 0; place < area; place++) {
          T* pixel = window + pool.offset(place);
          if (apart) {
#pragma omp simd
            for (int64_t i = 0; i < n; i++) pixel[i] = where[i] == place ? g[i] : 0;
          } else {
#pragma omp simd
            for (int64_t i = 0; i < n; i++) pixel[i] += where[i] == place ? g[i] : 0;
          }
        }
      }
    }
  }
}

template <class T, class F>
static void by_place(const Arguments& args, const Pool& pool) {
  if (args.array(1).type == 'B') pool_by_activation<T, uint8_t, F>(args, pool);
  else pool_by_activation<T, int32_t, F>(args, pool);
}

template <class T>
static void by_activation(const Arguments& args, const Pool& pool, int64_t number) {
  BY_ACTIVATION(number, by_place, T, args, pool)
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

/* Arrays: out, places, x. Numbers: rows and columns of a window, distance down and across. */
KERNEL(max_pool) { BY_FLOAT_TYPE(2, any_forward, args, read_pool(args, 2, 0)); }

/* Arrays: out, places, x, bias, learned ... Numbers: the same, and which activation. */
KERNEL(max_pool_by_activation) { BY_FLOAT_TYPE(2, by_activation, args, read_pool(args, 2, 0), args.whole(4)); }

/* Arrays: gradient of x; gradient of the output, places. Numbers: the same. */
KERNEL(max_pool_gradient) { BY_FLOAT_TYPE(1, any_backward, args, read_pool(args, 0, 1)); }
