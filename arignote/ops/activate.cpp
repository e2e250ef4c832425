/* Bias and activation, and their gradients, on matrices with one column per unit. */
#include <vector>

#include "../native/kernel.h"
#include "activations.h"
#include "dropout.h"

using namespace arignote;

/* The number of blocks in which rows are summed. It does not depend on the number of threads, so sums do not either. */
static int64_t count_blocks(int64_t n_rows) { return n_rows < 8 ? 1 : n_rows < 512 ? n_rows / 8 : 64; }

/* Arrays: out, z, bias, learned ... */
template <class T, class F>
static void forward(const Arguments& args, int64_t n_rows, int64_t n_units) {
  int64_t size = n_rows * n_units;
  T* out = args.data<T>(0, size);
  const T *z = args.data<T>(1, size), *bias = args.data<T>(2, n_units);
  const T* a = F::n_learned > 0 ? args.data<T>(3, n_units) : bias;
  const T* b = F::n_learned > 1 ? args.data<T>(4, n_units) : bias;
#pragma omp parallel for schedule(static) if (size > 8192)
  for (int64_t row = 0; row < n_rows; row++) {
    const T* from = z + row * n_units;
    T* to = out + row * n_units;
#pragma omp simd
    for (int64_t unit = 0; unit < n_units; unit++) {
      to[unit] = F::value(from[unit] + bias[unit], a[unit], b[unit]);
    }
  }
}

/* The same with dropout. Arrays: out, mask, z, bias, learned ..., key, position */
template <class T, class F>
static void forward_dropout(const Arguments& args, int64_t n_rows, int64_t n_units, double fraction) {
  int64_t size = n_rows * n_units, n_blocks = count_blocks(n_rows);
  T* out = args.data<T>(0, size);
  uint8_t* kept = args.data<uint8_t>(1, size);
  const T *z = args.data<T>(2, size), *bias = args.data<T>(3, n_units);
  const T* a = F::n_learned > 0 ? args.data<T>(4, n_units) : bias;
  const T* b = F::n_learned > 1 ? args.data<T>(5, n_units) : bias;
  DropoutMask mask(args, 4 + F::n_learned, fraction);
  T scale = (T)(1.0 / (1.0 - fraction));
#pragma omp parallel for schedule(static) if (size > 8192)
  for (int64_t block = 0; block < n_blocks; block++) {
    int64_t first = n_rows * block / n_blocks, last = n_rows * (block + 1) / n_blocks;
    mask.generate(first * n_units, (last - first) * n_units, kept + first * n_units);
    for (int64_t row = first; row < last; row++) {
      const T* from = z + row * n_units;
      const uint8_t* keep = kept + row * n_units;
      T* to = out + row * n_units;
#pragma omp simd
      for (int64_t unit = 0; unit < n_units; unit++) {
        T scaled = F::value(from[unit] + bias[unit], a[unit], b[unit]) * scale;
        to[unit] = keep[unit] ? scaled : (T)0;
      }
    }
  }
}

/* Add up `n_blocks` partial sums of `n` values each, in order. */
template <class T>
static void sum_blocks(const std::vector<T>& partial, int64_t n_blocks, int64_t first, int64_t stride, int64_t n,
                       T* out) {
  for (int64_t i = 0; i < n; i++) out[i] = 0;
  for (int64_t block = 0; block < n_blocks; block++) {
    const T* from = partial.data() + block * stride + first;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] += from[i];
  }
}

/* Arrays: the gradients of z, of the bias and of each learned parameter; the gradient of the output, z, bias,
   learned ...; with dropout, the mask */
template <class T, class F, bool with_dropout>
static void backward(const Arguments& args, int64_t n_rows, int64_t n_units, double fraction) {
  const int n_learned = F::n_learned, n_sums = 1 + n_learned;
  int64_t size = n_rows * n_units, n_blocks = count_blocks(n_rows);
  T* out = args.data<T>(0, size);
  const T *gradient = args.data<T>(1 + n_sums, size), *z = args.data<T>(2 + n_sums, size);
  const T* bias = args.data<T>(3 + n_sums, n_units);
  const T* a = n_learned > 0 ? args.data<T>(4 + n_sums, n_units) : bias;
  const T* b = n_learned > 1 ? args.data<T>(5 + n_sums, n_units) : bias;
  const uint8_t* kept = with_dropout ? args.data<uint8_t>(4 + n_sums + n_learned, size) : nullptr;
  T scale = (T)(1.0 / (1.0 - fraction));
  std::vector<T> partial(n_blocks * n_sums * n_units, 0);
#pragma omp parallel for schedule(static) if (size > 8192)
  for (int64_t block = 0; block < n_blocks; block++) {
    T* sums = partial.data() + block * n_sums * n_units;
    T *a_sums = sums + (n_learned > 0 ? n_units : 0), *b_sums = sums + (n_learned > 1 ? 2 * n_units : 0);
    for (int64_t row = n_rows * block / n_blocks; row < n_rows * (block + 1) / n_blocks; row++) {
      const T *g = gradient + row * n_units, *x = z + row * n_units;
      const uint8_t* keep = with_dropout ? kept + row * n_units : nullptr;
      T* to = out + row * n_units;
#pragma omp simd
      for (int64_t unit = 0; unit < n_units; unit++) {
        T passed = !with_dropout ? g[unit] : keep[unit] ? g[unit] * scale : (T)0;
        T value = x[unit] + bias[unit], change = passed * F::slope(value, a[unit], b[unit]);
        to[unit] = change;
        sums[unit] += change;
        if (n_learned > 0) a_sums[unit] += passed * F::grad_a(value, a[unit], b[unit]);
        if (n_learned > 1) b_sums[unit] += passed * F::grad_b(value, a[unit], b[unit]);
      }
    }
  }
  for (int i = 0; i < n_sums; i++)
    sum_blocks(partial, n_blocks, i * n_units, n_sums * n_units, n_units, args.data<T>(1 + i, n_units));
}

template <class T, class F>
static void backward_plain(const Arguments& args, int64_t n_rows, int64_t n_units) {
  backward<T, F, false>(args, n_rows, n_units, 0.0);
}

template <class T, class F>
static void backward_dropout(const Arguments& args, int64_t n_rows, int64_t n_units, double fraction) {
  backward<T, F, true>(args, n_rows, n_units, fraction);
}

/* The numbers of the kernels: that of the activation and, with dropout, the fraction to drop. */
template <class T>
static void any_forward(const Arguments& args, int64_t n_rows, int64_t n_units) {
  DISPATCH_ACTIVATION(args.integer(0), forward, T, args, n_rows, n_units)
}

template <class T>
static void any_forward_dropout(const Arguments& args, int64_t n_rows, int64_t n_units) {
  DISPATCH_ACTIVATION(args.integer(0), forward_dropout, T, args, n_rows, n_units, args.number(1))
}

template <class T>
static void any_backward(const Arguments& args, int64_t n_rows, int64_t n_units) {
  DISPATCH_ACTIVATION(args.integer(0), backward_plain, T, args, n_rows, n_units)
}

template <class T>
static void any_backward_dropout(const Arguments& args, int64_t n_rows, int64_t n_units) {
  DISPATCH_ACTIVATION(args.integer(0), backward_dropout, T, args, n_rows, n_units, args.number(1))
}

static int64_t count_rows(const Array& matrix, int64_t n_units) { return n_units ? matrix.size() / n_units : 0; }

KERNEL(activate) {
  int64_t n_units = args.array(2).size();
  DISPATCH_FLOAT_TYPE(1, any_forward, args, count_rows(args.array(1), n_units), n_units);
}

KERNEL(activate_dropout) {
  int64_t n_units = args.array(3).size();
  DISPATCH_FLOAT_TYPE(2, any_forward_dropout, args, count_rows(args.array(2), n_units), n_units);
}

KERNEL(activate_gradient) {
  int64_t n_units = args.array(1).size();
  DISPATCH_FLOAT_TYPE(0, any_backward, args, count_rows(args.array(0), n_units), n_units);
}

KERNEL(activate_dropout_gradient) {
  int64_t n_units = args.array(1).size();
  DISPATCH_FLOAT_TYPE(0, any_backward_dropout, args, count_rows(args.array(0), n_units), n_units);
}

/* Return the maximum of n_pieces values with stride n_units, and store its index in `piece`. NaN counts as largest. */
template <class T>
static inline T largest(const T* z, const T* bias, int64_t n_units, int64_t n_pieces, int64_t* piece) {
  T best = z[0] + bias[0];
  *piece = 0;
  for (int64_t j = 1; j < n_pieces; j++) {
    T value = z[j * n_units] + bias[j * n_units];
    if (value > best || value != value) {
      best = value;
      *piece = j;
    }
  }
  return best;
}

template <class T>
static void maxout_forward(const Arguments& args, int64_t n_pieces) {
  int64_t n_units = args.array(2).size() / n_pieces, width = n_units * n_pieces;
  int64_t n_rows = width ? args.array(1).size() / width : 0;
  T* out = args.data<T>(0, n_rows * n_units);
  const T *z = args.data<T>(1, n_rows * width), *bias = args.data<T>(2, width);
#pragma omp parallel for schedule(static) if (n_rows * width > 8192)
  for (int64_t row = 0; row < n_rows; row++) {
    T* to = out + row * n_units;
    const T* from = z + row * width;
    for (int64_t unit = 0; unit < n_units; unit++) to[unit] = from[unit] + bias[unit];
    for (int64_t j = 1; j < n_pieces; j++) {
      const T *piece = from + j * n_units, *b = bias + j * n_units;
#pragma omp simd
      for (int64_t unit = 0; unit < n_units; unit++) {
        T value = piece[unit] + b[unit];
        to[unit] = value > to[unit] || value != value ? value : to[unit];
      }
    }
  }
}

template <class T>
static void maxout_backward(const Arguments& args, int64_t n_pieces) {
  int64_t width = args.array(1).size(), n_units = width / n_pieces;
  int64_t n_rows = width ? args.array(0).size() / width : 0, n_blocks = count_blocks(n_rows);
  T *out = args.data<T>(0, n_rows * width), *bias_out = args.data<T>(1, width);
  const T *gradient = args.data<T>(2, n_rows * n_units), *z = args.data<T>(3, n_rows * width);
  const T* bias = args.data<T>(4, width);
  std::vector<T> partial(n_blocks * width, 0);
#pragma omp parallel for schedule(static) if (n_rows * width > 8192)
  for (int64_t block = 0; block < n_blocks; block++) {
    T* sums = partial.data() + block * width;
    for (int64_t row = n_rows * block / n_blocks; row < n_rows * (block + 1) / n_blocks; row++) {
      const T *from = z + row * width, *g = gradient + row * n_units;
      T* to = out + row * width;
      for (int64_t i = 0; i < width; i++) to[i] = 0;
      for (int64_t unit = 0; unit < n_units; unit++) {
        int64_t piece;
        largest(from + unit, bias + unit, n_units, n_pieces, &piece);
        to[piece * n_units + unit] = g[unit];
        sums[piece * n_units + unit] += g[unit];
      }
    }
  }
  sum_blocks(partial, n_blocks, 0, width, width, bias_out);
}

/* Arrays: out, z, bias. Numbers: n_pieces. */
KERNEL(maxout) { DISPATCH_FLOAT_TYPE(1, maxout_forward, args, args.integer(0)); }

/* Arrays: the gradients of z and of the bias; the gradient of the output, z, bias. Numbers: n_pieces. */
KERNEL(maxout_gradient) { DISPATCH_FLOAT_TYPE(0, maxout_backward, args, args.integer(0)); }
