/* Matrix products with oneDNN. */
#include "../native/kernel.h"
#ifdef ARIGNOTE_ONEDNN
#include <array>

#include "../native/onednn.h"

using namespace arignote;
using dnnl::memory;

using Key = std::array<int64_t, 5>; /* rows, columns, inner dimension; is a transposed, is b transposed */

class Product {
 public:
  explicit Product(const Key& key) : stream_(cpu()) {
    auto [m, n, k, transpose_a, transpose_b] = key;
    auto type = memory::data_type::f32;
    auto rows = memory::format_tag::ab, columns = memory::format_tag::ba;
    memory::desc a({m, k}, type, transpose_a ? columns : rows), b({k, n}, type, transpose_b ? columns : rows);
    memory::desc out({m, n}, type, rows);
    primitive_ = dnnl::matmul(dnnl::matmul::primitive_desc(cpu(), a, b, out));
    a_ = memory(a, cpu(), nullptr);
    b_ = memory(b, cpu(), nullptr);
    out_ = memory(out, cpu(), nullptr);
    arguments_ = {{DNNL_ARG_SRC, a_}, {DNNL_ARG_WEIGHTS, b_}, {DNNL_ARG_DST, out_}};
  }

  void run(float* out, float* a, float* b) {
    a_.set_data_handle(a);
    b_.set_data_handle(b);
    out_.set_data_handle(out);
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  dnnl::stream stream_;
  dnnl::primitive primitive_;
  memory a_, b_, out_;
  std::unordered_map<int, memory> arguments_;
};

/* out (m, n) = a b, where a is (m, k), or (k, m) if transposed; b likewise. */
KERNEL(matmul) {
  int64_t transpose_a = args.integer(0), transpose_b = args.integer(1);
  int64_t m = args.array(0).shape[0], n = args.array(0).shape[1], k = args.array(1).shape[transpose_a ? 0 : 1];
  float* out = args.data<float>(0, m * n);
  find_primitive<Product>(Key{m, n, k, transpose_a, transpose_b})
      .run(out, args.data<float>(1, m * k), args.data<float>(2, k * n));
}
#endif
