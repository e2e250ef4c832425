/* Softmax, the negative log likelihood of the true class, and gradients. Rows are examples, columns are classes. */
#include <cmath>

#include "../native/kernel.h"

using namespace arignote;

/* Write exp(x - max) of a row to `out`; return the sum, and store max + log(sum) in `log_sum`. */
template <class T>
static inline T exponentials(const T* x, int64_t n, T* out, T* log_sum) {
  T largest = x[0], sum = 0;
  for (int64_t i = 1; i < n; i++) largest = x[i] > largest ? x[i] : largest;
  for (int64_t i = 0; i < n; i++) sum += out[i] = std::exp(x[i] - largest);
  *log_sum = largest + std::log(sum);
  return sum;
}

template <class T>
static void softmax_forward(const Arguments& args, int64_t n_rows, int64_t n) {
  T* out = args.data<T>(0, n_rows * n);
  const T* x = args.data<T>(1, n_rows * n);
#pragma omp parallel for schedule(static) if (n_rows * n > 4096)
  for (int64_t row = 0; row < n_rows; row++) {
    T unused, sum = exponentials(x + row * n, n, out + row * n, &unused);
    for (int64_t i = 0; i < n; i++) out[row * n + i] /= sum;
  }
}

template <class T>
static void softmax_backward(const Arguments& args, int64_t n_rows, int64_t n) {
  T* out = args.data<T>(0, n_rows * n);
  const T *gradient = args.data<T>(1, n_rows * n), *y = args.data<T>(2, n_rows * n);
#pragma omp parallel for schedule(static) if (n_rows * n > 4096)
  for (int64_t row = 0; row < n_rows; row++) {
    const T *g = gradient + row * n, *p = y + row * n;
    T product = 0;
    for (int64_t i = 0; i < n; i++) product += g[i] * p[i];
    for (int64_t i = 0; i < n; i++) out[row * n + i] = p[i] * (g[i] - product);
  }
}

static int32_t checked(int32_t label, int64_t n) {
  if (label < 0 || label >= n)
    throw std::out_of_range("got label " + std::to_string(label) + "; need labels from 0 to " + std::to_string(n - 1));
  return label;
}

/* Write the mean loss to out[0], and the probabilities minus the one-hot labels to `gradient`. */
template <class T>
static void nll_forward(const Arguments& args, int64_t n_rows, int64_t n) {
  T *out = args.data<T>(0, 1), *gradient = args.data<T>(1, n_rows * n);
  const T* x = args.data<T>(2, n_rows * n);
  const int32_t* labels = args.data<int32_t>(3, n_rows);
  double total = 0;
  for (int64_t row = 0; row < n_rows; row++) {
    T log_sum, sum = exponentials(x + row * n, n, gradient + row * n, &log_sum);
    int32_t label = checked(labels[row], n);
    total += log_sum - x[row * n + label];
    for (int64_t i = 0; i < n; i++) gradient[row * n + i] /= sum;
    gradient[row * n + label] -= 1;
  }
  out[0] = (T)(total / n_rows);
}

/* Arrays: out, x. */
KERNEL(softmax) {
  const intptr_t* shape = args.array(1).shape;
  DISPATCH_FLOAT_TYPE(1, softmax_forward, args, shape[0], shape[1]);
}

/* Arrays: out, gradient of the output, the output. */
KERNEL(softmax_gradient) {
  const intptr_t* shape = args.array(1).shape;
  DISPATCH_FLOAT_TYPE(1, softmax_backward, args, shape[0], shape[1]);
}

/* Arrays: out (a scalar), gradient, x, labels. */
KERNEL(softmax_nll) {
  const intptr_t* shape = args.array(2).shape;
  DISPATCH_FLOAT_TYPE(2, nll_forward, args, shape[0], shape[1]);
}
