/* The interface of kernels: functions of arrays and numbers that depend on neither Python nor numpy.

   The source file of each Op defines its kernels with KERNEL(name) { ... }. The module in native/module.cpp exports
   each of them to Python under its name, checks that arrays are contiguous, and releases the GIL during the call. */
#pragma once
#include <omp.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace arignote {

struct Array {
  void* data;
  const intptr_t* shape;
  int ndim;
  char type; /* numpy's type code: f, d, B, i, l */

  int64_t size() const {
    int64_t product = 1;
    for (int i = 0; i < ndim; i++) product *= shape[i];
    return product;
  }
};

/* The array arguments and the scalar arguments of a call, each in the order in which they were passed. */
struct Arguments {
  const Array* arrays;
  int n_arrays;
  const double* numbers;
  int n_numbers;

  const Array& array(int i) const {
    if (i >= n_arrays) throw std::invalid_argument("got too few arrays");
    return arrays[i];
  }
  /* Return the elements of array i; raise an error unless there are `size` of them. */
  template <class T>
  T* data(int i, int64_t size) const {
    const Array& found = array(i);
    if (found.size() != size)
      throw std::invalid_argument("got array " + std::to_string(i) + " with " + std::to_string(found.size()) +
                                  " elements; need " + std::to_string(size));
    return static_cast<T*>(found.data);
  }
  double number(int i) const {
    if (i >= n_numbers) throw std::invalid_argument("got too few numbers");
    return numbers[i];
  }
  int64_t integer(int i) const { return static_cast<int64_t>(number(i)); }
};

using Kernel = void (*)(const Arguments&);

struct Registration {
  Registration(const char* name, Kernel kernel);
};

/* Call `function<float>` or `function<double>`, depending on the type of array `i`. */
#define DISPATCH_FLOAT_TYPE(i, function, ...)                                                                        \
  do {                                                                                                               \
    if (args.array(i).type == 'f')                                                                                   \
      function<float>(__VA_ARGS__);                                                                                  \
    else if (args.array(i).type == 'd')                                                                              \
      function<double>(__VA_ARGS__);                                                                                 \
    else                                                                                                             \
      throw std::invalid_argument("got an array of another type; need float32 or float64");                          \
  } while (0)

}  // namespace arignote

#define KERNEL(name)                                                                                                 \
  static void name(const arignote::Arguments& args);                                                                 \
  static arignote::Registration name##_registration(#name, name);                                                    \
  static void name(const arignote::Arguments& args)
