/* What the kernels on oneDNN have in common. */
#pragma once
#include <map>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

namespace arignote {

inline dnnl::engine& cpu() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/* Return the primitive of this key, which says all that it depends on; it is made on first use. Each thread has its
   own, since they hold memory to work in. */
template <class Primitive, class Key>
Primitive& find_primitive(const Key& key) {
  static thread_local std::map<Key, std::unique_ptr<Primitive>> known;
  auto found = known.find(key);
  if (found != known.end()) return *found->second;
  if (known.size() >= 64) known.clear();
  return *(known[key] = std::make_unique<Primitive>(key));
}

}  // namespace arignote
