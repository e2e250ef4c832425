/* The update rules, each in one pass over parameter, gradient and optimizer state. */
#include <cmath>

#include "../native/kernel.h"

using namespace arignote;

/* A rule returns the step to add to a parameter with this gradient, and updates its state arrays a and b. The formulas
   are documented in nnets/sgd_updates.py. */
template <class T>
struct Sgd {
  static const int n_states = 0;
  T rate;
  Sgd(double rate, double, double) : rate(rate) {}
  T step(T gradient, T&, T&) const { return -rate * gradient; }
};
template <class T>
struct Nag {
  static const int n_states = 1;
  T rate, momentum;
  Nag(double rate, double momentum, double) : rate(rate), momentum(momentum) {}
  T step(T gradient, T& velocity, T&) const {
    velocity = momentum * velocity - rate * gradient;
    return momentum * velocity - rate * gradient;
  }
};
template <class T>
struct RmsProp {
  static const int n_states = 1;
  T rate;
  RmsProp(double rate, double, double) : rate(rate) {}
  T step(T gradient, T& mean_square, T&) const {
    mean_square = (T)0.9 * mean_square + (T)0.1 * (gradient * gradient);
    return -rate * gradient / std::sqrt(mean_square + (T)1e-6);
  }
};
template <class T>
struct AdaGrad {
  static const int n_states = 1;
  T rate;
  AdaGrad(double rate, double, double) : rate(rate) {}
  T step(T gradient, T& sum_square, T&) const {
    sum_square += gradient * gradient;
    return -rate * gradient / std::sqrt(sum_square + (T)1e-6);
  }
};
template <class T>
struct AdaDelta {
  static const int n_states = 2;
  T rate;
  AdaDelta(double rate, double, double) : rate(rate) {}
  T step(T gradient, T& mean_square, T& mean_square_step) const {
    mean_square = (T)0.95 * mean_square + (T)0.05 * (gradient * gradient);
    T step = -gradient * std::sqrt(mean_square_step + (T)1e-6) / std::sqrt(mean_square + (T)1e-6);
    mean_square_step = (T)0.95 * mean_square_step + (T)0.05 * (step * step);
    return rate * step;
  }
};
template <class T>
struct Adam {
  static const int n_states = 2;
  T rate, correction;
  Adam(double rate, double, double time)
      : rate(rate / (1 - std::pow(0.9, time))), correction(1 / (1 - std::pow(0.999, time))) {}
  T step(T gradient, T& mean, T& mean_square) const {
    mean = (T)0.9 * mean + (T)0.1 * gradient;
    mean_square = (T)0.999 * mean_square + (T)0.001 * (gradient * gradient);
    return -rate * mean / (std::sqrt(mean_square * correction) + (T)1e-8);
  }
};

/* Update one parameter. `l1` and `l2` are the coefficients of a penalty, whose gradient is added here. */
template <class T, class Rule>
static void update(Rule rule, T* parameter, const T* gradient, T* a, T* b, T l1, T l2, int64_t size) {
#pragma omp parallel for simd schedule(static) if (size > 8192)
  for (int64_t i = 0; i < size; i++) {
    T value = parameter[i], state_a = Rule::n_states > 0 ? a[i] : 0, state_b = Rule::n_states > 1 ? b[i] : 0;
    T sign = value > 0 ? 1 : value < 0 ? -1 : 0;
    T step = rule.step(gradient[i] + (l1 * sign + 2 * l2 * value), state_a, state_b);
    if (Rule::n_states > 0) a[i] = state_a;
    if (Rule::n_states > 1) b[i] = state_b;
    parameter[i] = value + step;
  }
}

/* Without a penalty nothing is added: 0 times an infinite parameter would be NaN. */
template <class T, class Rule>
static void update(Rule rule, T* parameter, const T* gradient, T* a, T* b, int64_t size) {
#pragma omp parallel for simd schedule(static) if (size > 8192)
  for (int64_t i = 0; i < size; i++) {
    T state_a = Rule::n_states > 0 ? a[i] : 0, state_b = Rule::n_states > 1 ? b[i] : 0;
    T step = rule.step(gradient[i], state_a, state_b);
    if (Rule::n_states > 0) a[i] = state_a;
    if (Rule::n_states > 1) b[i] = state_b;
    parameter[i] += step;
  }
}

template <class T, class Rule>
static void update_all(const Arguments& args) {
  Rule rule(args.number(0), args.number(1), args.number(2));
  const int width = 2 + Rule::n_states;
  for (int first = 0, parameter = 0; first < args.n_arrays; first += width, parameter++) {
    int64_t size = args.array(first).size();
    T *value = args.data<T>(first, size), *gradient = args.data<T>(first + 1, size);
    T* a = Rule::n_states > 0 ? args.data<T>(first + 2, size) : nullptr;
    T* b = Rule::n_states > 1 ? args.data<T>(first + 3, size) : nullptr;
    T l1 = (T)args.number(3 + 2 * parameter), l2 = (T)args.number(4 + 2 * parameter);
    if (l1 == 0 && l2 == 0)
      update(rule, value, gradient, a, b, size);
    else
      update(rule, value, gradient, a, b, l1, l2, size);
  }
}

template <template <class> class Rule>
static void dispatch_type(const Arguments& args) {
  if (args.n_arrays == 0) return;
  if (args.array(0).type == 'f')
    update_all<float, Rule<float>>(args);
  else
    update_all<double, Rule<double>>(args);
}

/* Arrays: for each parameter its values, its gradient and its state arrays. All but the gradient are updated in place.
   Numbers: learning rate, momentum, number of the update; for each parameter l1 and l2. */
KERNEL(update_sgd) { dispatch_type<Sgd>(args); }
KERNEL(update_nag) { dispatch_type<Nag>(args); }
KERNEL(update_rmsprop) { dispatch_type<RmsProp>(args); }
KERNEL(update_adagrad) { dispatch_type<AdaGrad>(args); }
KERNEL(update_adadelta) { dispatch_type<AdaDelta>(args); }
KERNEL(update_adam) { dispatch_type<Adam>(args); }
