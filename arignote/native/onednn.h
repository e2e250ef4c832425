/* Helpers of the kernels that use oneDNN. */
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

/* Return the primitive for this key from a cache; create it on first use. The key contains everything that the
   primitive depends on except the number of threads. The cache is thread-local, since primitives own workspaces. */
template <class Primitive, class Key>
Primitive& find_primitive(const Key& key) {
  static thread_local std::map<std::pair<int, Key>, std::unique_ptr<Primitive>> cache;
  std::pair<int, Key> full_key(omp_get_max_threads(), key);
  auto found = cache.find(full_key);
  if (found != cache.end()) return *found->second;
  if (cache.size() >= 64) cache.clear();
  return *(cache[full_key] = std::make_unique<Primitive>(key));
}

}  // namespace arignote
