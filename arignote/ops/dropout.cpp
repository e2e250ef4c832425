/* Dropout with masks from Philox4x32-10; see dropout.py. */
#include <cmath>

#include "../native/kernel.h"

using namespace arignote;

static const int LANES = 16, GROUP = 64;

/* The random words of one group: 16 counters, 4 words each, word by word. */
static inline void random_group(uint32_t group, const uint32_t key[2], const uint32_t position[3], uint32_t* words) {
#pragma omp simd
  for (int lane = 0; lane < LANES; lane++) {
    uint32_t c0 = group * LANES + lane, c1 = position[0], c2 = position[1], c3 = position[2];
    uint32_t key0 = key[0], key1 = key[1];
    for (int round = 0; round < 10; round++) {
      uint64_t product0 = (uint64_t)0xD2511F53u * c0, product1 = (uint64_t)0xCD9E8D57u * c2;
      uint32_t next0 = (uint32_t)(product1 >> 32) ^ c1 ^ key0, next2 = (uint32_t)(product0 >> 32) ^ c3 ^ key1;
      c1 = (uint32_t)product1;
      c3 = (uint32_t)product0;
      c0 = next0;
      c2 = next2;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    words[lane] = c0;
    words[lane + LANES] = c1;
    words[lane + 2 * LANES] = c2;
    words[lane + 3 * LANES] = c3;
  }
}

template <class T>
static void drop(const Arguments& args, const uint32_t key[2], const uint32_t position[3], double fraction) {
  int64_t size = args.array(1).size();
  T* out = args.data<T>(0, size);
  const T* x = args.data<T>(1, size);
  /* A unit stays when its word is at least this, which is below 2^32 since the fraction is below 1. */
  uint32_t least = (uint32_t)std::ceil(fraction * 4294967296.0);
  T scale = (T)(1.0 / (1.0 - fraction));
#pragma omp parallel for schedule(static) if (size > 8192)
  for (int64_t start = 0; start < size; start += GROUP) {
    alignas(64) uint32_t words[GROUP];
    int64_t count = size - start < GROUP ? size - start : GROUP;
    random_group((uint32_t)(start / GROUP), key, position, words);
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
      T scaled = x[start + i] * scale;
      out[start + i] = words[i] < least ? (T)0 : scaled;
    }
  }
}

/* Arrays: out, x, key (2 whole numbers of 64 bits), position (3). Number: the fraction to drop. */
KERNEL(dropout) {
  const int64_t *keys = args.data<int64_t>(2, 2), *positions = args.data<int64_t>(3, 3);
  uint32_t key[2], position[3];
  for (int i = 0; i < 2; i++) key[i] = (uint32_t)keys[i];
  for (int i = 0; i < 3; i++) position[i] = (uint32_t)positions[i];
  BY_FLOAT_TYPE(1, drop, args, key, position, args.number(0));
}
