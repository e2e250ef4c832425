/* Dropout masks from Philox4x32-10; see philox.py. */
#pragma once
#include <cmath>
#include <cstdint>

#include "../native/kernel.h"

namespace arignote {

class DropoutMask {
 public:
  /* Array `i` is the key, 2 integers of 64 bits; array `i + 1` is the position, 3 of them. */
  DropoutMask(const Arguments& args, int i, double fraction) {
    const int64_t *key = args.data<int64_t>(i, 2), *position = args.data<int64_t>(i + 1, 3);
    for (int j = 0; j < 2; j++) key_[j] = (uint32_t)key[j];
    for (int j = 0; j < 3; j++) position_[j] = (uint32_t)position[j];
    threshold_ = (uint32_t)std::ceil(fraction * 4294967296.0); /* below 2^32, since the fraction is below 1 */
  }

  /* For `count` units from `first`, write 1 for each that is kept and 0 for each that is dropped. */
  void generate(int64_t first, int64_t count, uint8_t* kept) const {
    alignas(64) uint32_t words[GROUP];
    for (int64_t start = first / GROUP * GROUP; start < first + count; start += GROUP) {
      random_group((uint32_t)(start / GROUP), words);
      int64_t from = start < first ? first - start : 0;
      int64_t to = first + count - start < GROUP ? first + count - start : GROUP;
      uint8_t* out = kept + (start - first);
#pragma omp simd
      for (int64_t i = from; i < to; i++) out[i] = words[i] >= threshold_;
    }
  }

 private:
  static const int LANES = 16, GROUP = 64;

  /* Compute the random words of one group: 16 counters, 4 words each, stored word by word. */
  void random_group(uint32_t group, uint32_t* words) const {
#pragma omp simd
    for (int lane = 0; lane < LANES; lane++) {
      uint32_t c0 = group * LANES + lane, c1 = position_[0], c2 = position_[1], c3 = position_[2];
      uint32_t key0 = key_[0], key1 = key_[1];
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

  uint32_t key_[2], position_[3], threshold_;
};

}  // namespace arignote
