/* Dropout alone; activate.cpp fuses it with an activation. */
#include "dropout.h"

using namespace arignote;

template <class T>
static void drop(const Arguments& args, const DropoutMask& mask, double fraction) {
  const int64_t BLOCK = 1024;
  int64_t size = args.array(1).size();
  T* out = args.data<T>(0, size);
  const T* x = args.data<T>(1, size);
  T scale = (T)(1.0 / (1.0 - fraction));
#pragma omp parallel for schedule(static) if (size > 8192)
  for (int64_t start = 0; start < size; start += BLOCK) {
    uint8_t kept[BLOCK];
    int64_t count = size - start < BLOCK ? size - start : BLOCK;
    mask.generate(start, count, kept);
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
      T scaled = x[start + i] * scale;
      out[start + i] = kept[i] ? scaled : (T)0;
    }
  }
}

/* Arrays: out, x, key, position. Numbers: the fraction to drop. */
KERNEL(dropout) {
  double fraction = args.number(0);
  DISPATCH_FLOAT_TYPE(1, drop, args, DropoutMask(args, 2, fraction), fraction);
}
