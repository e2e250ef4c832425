/* What the kernels on oneDNN have in common. */
#pragma once
#include <map>
#include <memory>
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <utility>

namespace arignote {

inline dnnl::engine& cpu() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/* Return the primitive of this key, made on first use. The key says all that it depends on, but for the number of
   threads. Each Python thread has its own, since they hold memory to work in. */
template <class Primitive, class Key>
Primitive& find_primitive(const Key& key) {
  static thread_local std::map<std::pair<int, Key>, std::unique_ptr<Primitive>> known;
  std::pair<int, Key> full_key(omp_get_max_threads(), key);
  auto found = known.find(full_key);
  if (found != known.end()) return *found->second;
  if (known.size() >= 64) known.clear();
  return *(known[full_key] = std::make_unique<Primitive>(key));
}

}  // namespace arignote
