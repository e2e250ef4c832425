/* Convolutions with oneDNN. Images have the axes (image, row, column, channel), filters (map, channel, row, column). */
#include "../native/kernel.h"
#ifdef ARIGNOTE_ONEDNN
#include <array>

#include "../native/onednn.h"

using namespace arignote;
using dnnl::memory;

enum Kind { FORWARD, FILTERS, IMAGES }; /* the result: the output, or the gradient of the filters or the images */

using Key = std::array<int64_t, 10>; /* kind; images, rows, columns, channels; maps, filter rows, columns; strides */

/* The convolution of one size: oneDNN's compiled primitive, and the filters in the memory layout that it prefers. */
class Convolution {
 public:
  explicit Convolution(const Key& key) : kind_(static_cast<Kind>(key[0])), stream_(cpu()) {
    auto [_, n, rows, columns, channels, maps, filter_rows, filter_columns, down, across] = key;
    memory::dims strides = {down, across}, padding = {0, 0};
    int64_t rows_out = (rows - filter_rows) / down + 1, columns_out = (columns - filter_columns) / across + 1;
    auto type = memory::data_type::f32;
    memory::desc images({n, channels, rows, columns}, type, memory::format_tag::nhwc);
    memory::desc output({n, maps, rows_out, columns_out}, type, memory::format_tag::nhwc);
    memory::dims filter_shape = {maps, channels, filter_rows, filter_columns};
    memory::desc given(filter_shape, type, memory::format_tag::oihw), any(filter_shape, type, memory::format_tag::any);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    auto algorithm = dnnl::algorithm::convolution_direct;
    dnnl::convolution_forward::primitive_desc forward(cpu(), dnnl::prop_kind::forward_training, algorithm, images, any,
                                                      output, strides, padding, padding, attributes);
    if (kind_ == FORWARD) {
      initialize(dnnl::convolution_forward(forward), forward, forward.weights_desc(), given, images, output);
    } else if (kind_ == FILTERS) {
      dnnl::convolution_backward_weights::primitive_desc backward(cpu(), algorithm, images, any, output, strides,
                                                                  padding, padding, forward, attributes);
      initialize(dnnl::convolution_backward_weights(backward), backward, backward.diff_weights_desc(), given, images,
             output);
    } else {
      dnnl::convolution_backward_data::primitive_desc backward(cpu(), algorithm, images, any, output, strides, padding,
                                                               padding, forward, attributes);
      initialize(dnnl::convolution_backward_data(backward), backward, backward.weights_desc(), given, images, output);
    }
  }

  void run(float* images, float* filters, float* output) {
    images_.set_data_handle(images);
    given_.set_data_handle(filters);
    output_.set_data_handle(output);
    if (!reordered_) preferred_.set_data_handle(filters);
    if (reordered_ && kind_ != FILTERS) reorder_.execute(stream_, given_, preferred_);
    primitive_.execute(stream_, arguments_);
    if (reordered_ && kind_ == FILTERS) reorder_.execute(stream_, preferred_, given_);
    stream_.wait();
  }

 private:
  template <class Description>
  void initialize(dnnl::primitive primitive, const Description& description, const memory::desc& preferred,
              const memory::desc& given, const memory::desc& images, const memory::desc& output) {
    primitive_ = primitive;
    reordered_ = preferred != given;
    images_ = memory(images, cpu(), nullptr);
    output_ = memory(output, cpu(), nullptr);
    given_ = memory(given, cpu(), nullptr);
    preferred_ = reordered_ ? memory(preferred, cpu()) : memory(preferred, cpu(), nullptr);
    if (reordered_)
      reorder_ = kind_ == FILTERS ? dnnl::reorder(preferred_, given_) : dnnl::reorder(given_, preferred_);
    arguments_ = {{kind_ == IMAGES ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, images_},
                  {kind_ == FILTERS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, preferred_},
                  {kind_ == FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, output_},
                  {DNNL_ARG_SCRATCHPAD, memory(description.scratchpad_desc(), cpu())}};
  }

  Kind kind_;
  dnnl::stream stream_;
  dnnl::primitive primitive_;
  dnnl::reorder reorder_;
  bool reordered_;
  memory images_, output_, given_, preferred_;
  std::unordered_map<int, memory> arguments_;
};

/* Arrays: images, filters, output; `kind` selects which of the three is computed from the other two. */
static void convolution(const Arguments& args, Kind kind) {
  const intptr_t *x = args.array(0).shape, *w = args.array(1).shape, *y = args.array(2).shape;
  int64_t down = args.integer(0), across = args.integer(1);
  if (w[1] != x[3] || y[0] != x[0] || y[3] != w[0] || y[1] != (x[1] - w[2]) / down + 1 ||
      y[2] != (x[2] - w[3]) / across + 1)
    throw std::invalid_argument("got images, filters and output of incompatible shapes");
  Key key = {kind, x[0], x[1], x[2], x[3], w[0], w[2], w[3], down, across};
  find_primitive<Convolution>(key).run(args.data<float>(0, args.array(0).size()),
                                       args.data<float>(1, args.array(1).size()),
                                       args.data<float>(2, args.array(2).size()));
}

KERNEL(convolve) { convolution(args, FORWARD); }
KERNEL(convolve_filters) { convolution(args, FILTERS); }
KERNEL(convolve_images) { convolution(args, IMAGES); }
#endif
