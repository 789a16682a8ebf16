// What torch and fairseq put into a pickle: tensors over storages, and configurations.
#pragma once

#include "archive/checkpoint.hpp"
#include "archive/pickle.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace elbeam::archive {

using TensorMap = std::map<std::string, TensorView, std::less<>>;

// How a pickle refers to a storage: ('storage', class, key, location, numel).
struct StorageReference {
  std::string key;
  TensorType type = TensorType::kFloat32;
  std::int64_t elements = 0;
};

// nullopt when the value is not a storage reference. Throws Error(kUnsupported) for an element type
// that no model has (complex, quantised), kFormat for a malformed reference.
std::optional<StorageReference> parse_storage(const PickleValue& value, const std::string& where);

// The bytes of a storage. Throws when there is none, or its size is not elements x element size.
using StorageSource = std::function<std::span<const std::byte>(const StorageReference&)>;

// Reads tensors; `where` is the file, for messages.
class TensorDecoder {
 public:
  TensorDecoder(StorageSource storages, const std::string& where)
      : storages_(std::move(storages)), where_(where) {}

  // nullopt when the value is not a tensor. Checks that every element lies inside its storage.
  std::optional<TensorView> decode(const PickleValue& value, const std::string& name) const;

  // A state_dict: every value has to be a tensor.
  TensorMap decode_state_dict(const PickleValue& dict) const;

  // The parameters and buffers of a scripted module by dotted attribute path.
  TensorMap decode_module(const PickleValue& root) const;

 private:
  struct ModuleWalk {
    TensorMap tensors;
    std::int64_t visits = 0;
  };

  void walk_module(const PickleValue& object, const std::string& prefix, int depth,
                   ModuleWalk& walk) const;
  std::string join(const std::string& prefix, std::string_view name) const;
  void insert(TensorMap& out, const std::string& name, const TensorView& view) const;

  StorageSource storages_;
  const std::string& where_;
};

// Namespace, dict and OmegaConf nodes as JSON; what is not data becomes null. Depth and size are
// bounded, so values that refer to themselves end in Error(kLimit).
nlohmann::json to_json(const PickleValue& value, const std::string& where);

// {"model": ..., "task": ...} of a checkpoint's root dict.
nlohmann::json checkpoint_config(const PickleValue& root, const std::string& where);

}  // namespace elbeam::archive
