/* The activations, for the kernels of activate.cpp and pool.cpp. */
#pragma once
#include <cmath>
#include <stdexcept>

namespace arignote {

/* Each activation: its value at x, its slope there, and its derivatives with respect to the learned parameters a and b
   of the unit. The code is branch-free for vectorization, and propagates NaN. */
struct Linear {
  static const int n_learned = 0;
  template <class T> static T value(T x, T, T) { return x; }
  template <class T> static T slope(T, T, T) { return 1; }
  template <class T> static T grad_a(T, T, T) { return 0; }
  template <class T> static T grad_b(T, T, T) { return 0; }
};
struct Tanh : Linear {
  template <class T> static T value(T x, T, T) { return std::tanh(x); }
  template <class T> static T slope(T x, T, T) { T y = std::tanh(x); return 1 - y * y; }
};
struct AbsTanh : Linear {
  template <class T> static T value(T x, T, T) { return std::fabs(std::tanh(x)); }
  template <class T> static T slope(T x, T, T) { T y = std::tanh(x); return (x < 0 ? -1 : 1) * (1 - y * y); }
};
struct Sigmoid : Linear {
  template <class T> static T value(T x, T, T) { return 1 / (1 + std::exp(-x)); }
  template <class T> static T slope(T x, T, T) { T y = 1 / (1 + std::exp(-x)); return y * (1 - y); }
};
struct Relu : Linear {
  template <class T> static T value(T x, T, T) { return x < 0 ? 0 : x; }
  template <class T> static T slope(T x, T, T) { return x > 0 ? 1 : 0; }
};
struct Prelu { /* a is the slope */
  static const int n_learned = 1;
  template <class T> static T value(T x, T a, T) { return x * (x > 0 ? 1 : a); }
  template <class T> static T slope(T x, T a, T) { return x > 0 ? 1 : a; }
  template <class T> static T grad_a(T x, T, T) { return x > 0 ? 0 : x; }
  template <class T> static T grad_b(T, T, T) { return 0; }
};
struct PreluShelf { /* a is the slope, b the shelf */
  static const int n_learned = 2;
  template <class T> static T value(T x, T a, T b) {
    T above = x - b, below = x + b;
    return (above < 0 ? 0 : above) + a * (below > 0 ? 0 : below);
  }
  template <class T> static T slope(T x, T a, T b) { return (x - b > 0 ? 1 : 0) + (x + b < 0 ? a : 0); }
  template <class T> static T grad_a(T x, T, T b) { T below = x + b; return below < 0 ? below : 0; }
  template <class T> static T grad_b(T x, T a, T b) { return (x + b < 0 ? a : 0) - (x - b > 0 ? 1 : 0); }
};

/* Call `function<T, Activation>` for the activation of this number; activate.py has the same numbers. */
#define DISPATCH_ACTIVATION(number, function, T, ...)                                                                \
  switch (number) {                                                                                                  \
    case 0: return function<T, Linear>(__VA_ARGS__);                                                                 \
    case 1: return function<T, Tanh>(__VA_ARGS__);                                                                   \
    case 2: return function<T, AbsTanh>(__VA_ARGS__);                                                                \
    case 3: return function<T, Sigmoid>(__VA_ARGS__);                                                                \
    case 4: return function<T, Relu>(__VA_ARGS__);                                                                   \
    case 5: return function<T, Prelu>(__VA_ARGS__);                                                                  \
    case 6: return function<T, PreluShelf>(__VA_ARGS__);                                                             \
    default: throw std::invalid_argument("got an unknown activation number");                                        \
  }

}  // namespace arignote
