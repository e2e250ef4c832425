/* Matrix products on oneDNN. */
#include "../native/kernel.h"
#ifdef ARIGNOTE_ONEDNN
#include <oneapi/dnnl/dnnl.h>

using namespace arignote;

/* out (m, n) = a b, where a is (m, k), or (k, m) to be transposed; b likewise. */
KERNEL(matmul) {
  bool transpose_a = args.whole(0), transpose_b = args.whole(1);
  int64_t m = args.array(0).shape[0], n = args.array(0).shape[1];
  int64_t k = args.array(1).shape[transpose_a ? 0 : 1];
  float* out = args.data<float>(0, m * n);
  const float *a = args.data<float>(1, m * k), *b = args.data<float>(2, k * n);
  dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.0f, a,
                                    transpose_a ? m : k, b, transpose_b ? k : n, 0.0f, out, n);
  if (status != dnnl_success) throw std::runtime_error("oneDNN could not multiply the matrices");
}
#endif
