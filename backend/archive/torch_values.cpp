#include "archive/torch_values.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace elbeam::archive {
namespace {

struct StorageClass {
  std::string_view name;
  TensorType type;
};
constexpr std::array<StorageClass, 10> kStorageClasses{{
    {"FloatStorage", TensorType::kFloat32},
    {"HalfStorage", TensorType::kFloat16},
    {"BFloat16Storage", TensorType::kBFloat16},
    {"DoubleStorage", TensorType::kFloat64},
    {"LongStorage", TensorType::kInt64},
    {"IntStorage", TensorType::kInt32},
    {"ShortStorage", TensorType::kInt16},
    {"CharStorage", TensorType::kInt8},
    {"ByteStorage", TensorType::kUInt8},
    {"BoolStorage", TensorType::kBool},
}};

TensorType storage_type(const PickleValue& storage_class, const std::string& where) {
  if (storage_class.kind == PickleKind::kGlobal && storage_class.text.substr(0, 5) == "torch") {
    const std::size_t blank = storage_class.text.find(' ');
    for (const StorageClass& known : kStorageClasses) {
      if (storage_class.text.substr(blank + 1) == known.name) return known.type;
    }
  }
  fail(ErrorCode::kUnsupported, where, ": a tensor with storage class ", quoted(storage_class.text),
       "; models have float, half, bfloat16, double and integer ones");
}

bool is_call_of(const PickleValue& value, std::string_view global) {
  return value.kind == PickleKind::kObject && value.items[0]->is_global(global);
}

std::vector<std::int64_t> integers(const PickleValue& value, const std::string& where,
                                   const std::string& name) {
  ELBEAM_CHECK(
      value.kind == PickleKind::kTuple && value.items.size() <= usize(limits::kMaxTensorRank),
      ErrorCode::kFormat, where, ": tensor ", quoted(name, 200), ": expected a tuple of at most ",
      limits::kMaxTensorRank, " integers for its shape and strides");
  std::vector<std::int64_t> result;
  for (const PickleValue* item : value.items) {
    ELBEAM_CHECK(item->kind == PickleKind::kInt && item->integer >= 0, ErrorCode::kFormat, where,
                 ": tensor ", quoted(name, 200),
                 ": a dimension or stride that is not a non-negative integer");
    result.push_back(item->integer);
  }
  return result;
}

// Elements of the tensor, an axis of length 0 counted as 1: products over parts of the shape, as
// is_contiguous() forms them, then cannot overflow either.
std::int64_t size_bound(const TensorView& view) {
  std::int64_t count = 1;
  for (const std::int64_t extent : view.shape) {
    count = checked_mul(count, std::max(extent, std::int64_t{1}));
  }
  return count;
}

// The last element that shape and strides reach, plus one; 0 for an empty tensor.
std::int64_t reach(const TensorView& view, std::int64_t offset) {
  if (std::find(view.shape.begin(), view.shape.end(), 0) != view.shape.end()) return 0;
  std::int64_t last = offset;
  for (std::size_t axis = 0; axis < view.shape.size(); ++axis) {
    last = checked_add(last, checked_mul(view.shape[axis] - 1, view.strides[axis]));
  }
  return checked_add(last, std::int64_t{1});
}

// OmegaConf 2.0 nodes keep their content in _content and their value in _val; older ones in
// content. Beside it they have a handful of other attributes: a state of thousands is not one of
// theirs, and a search of it for every node that shares it would take for ever.
const PickleValue* omegaconf_content(const PickleValue& object) {
  constexpr std::size_t kMostAttributes = 16;
  if (object.items[0]->text.substr(0, 9) != "omegaconf") return nullptr;
  if (object.items[2]->items.size() > 2 * kMostAttributes) return nullptr;
  for (const char* key : {"_content", "_val", "content"}) {
    if (const PickleValue* found = object.items[2]->find(key)) return found;
  }
  return nullptr;
}

class JsonWriter {
 public:
  explicit JsonWriter(const std::string& where) : where_(where) {}

  nlohmann::json write(const PickleValue& value, int depth = 0) {
    ELBEAM_CHECK(depth <= limits::kMaxConfigDepth, ErrorCode::kLimit, where_,
                 ": the configuration nests deeper than ", limits::kMaxConfigDepth);
    charge();
    switch (value.kind) {
      case PickleKind::kBool:
        return value.integer != 0;
      case PickleKind::kInt:
        return value.integer;
      case PickleKind::kFloat:
        return value.real();
      case PickleKind::kText:
        return write_text(value.text);
      case PickleKind::kList:
      case PickleKind::kTuple: {
        nlohmann::json list = nlohmann::json::array();
        for (const PickleValue* item : value.items) list.push_back(write(*item, depth + 1));
        return list;
      }
      case PickleKind::kDict:
        return write_dict(value, depth);
      case PickleKind::kObject: {
        if (value.items[0]->is_global("argparse Namespace"))
          return write(*value.items[2], depth + 1);
        const PickleValue* content = omegaconf_content(value);
        return content == nullptr ? nlohmann::json() : write(*content, depth + 1);
      }
      case PickleKind::kNone:
      case PickleKind::kGlobal:
      case PickleKind::kPersistent:
        return nullptr;
    }
    return nullptr;
  }

 private:
  void charge() {
    ELBEAM_CHECK(++count_ <= limits::kMaxConfigValues, ErrorCode::kLimit, where_,
                 ": the configuration has more than ", limits::kMaxConfigValues, " values");
  }

  // Python's str is not always text: bytes and lone surrogates are no JSON, so they become null.
  nlohmann::json write_text(std::string_view text) {
    bytes_ += ssize(text.size());
    ELBEAM_CHECK(bytes_ <= limits::kMaxConfigBytes, ErrorCode::kLimit, where_,
                 ": the configuration has more than ", limits::kMaxConfigBytes, " bytes of text");
    nlohmann::json result = std::string(text);
    try {
      (void)result.dump();
    } catch (const nlohmann::json::type_error&) {
      return nullptr;
    }
    return result;
  }

  nlohmann::json write_dict(const PickleValue& value, int depth) {
    nlohmann::json object = nlohmann::json::object();
    for (std::size_t i = 0; i + 1 < value.items.size(); i += 2) {
      charge();  // also for what is passed over: a dict can be shared by a hundred thousand others
      if (value.items[i]->kind != PickleKind::kText) continue;  // options have names
      const nlohmann::json key = write_text(value.items[i]->text);
      if (!key.is_string()) continue;
      object[key.get_ref<const std::string&>()] = write(*value.items[i + 1], depth + 1);
    }
    return object;
  }

  const std::string& where_;
  std::int64_t count_ = 0;
  std::int64_t bytes_ = 0;
};

// What fairseq makes of the arguments of an old checkpoint that matters to a model
// (checkpoint_utils.py, _upgrade_state_dict).
void upgrade_arguments(nlohmann::json& args) {
  if (!args.is_object()) return;
  if (args.contains("max_positions") && !args.contains("max_source_positions")) {
    args["max_source_positions"] = args["max_positions"];
    args["max_target_positions"] = args["max_positions"];
  }
  if (!args.contains("task")) args["task"] = "translation";
}

}  // namespace

std::optional<StorageReference> parse_storage(const PickleValue& value, const std::string& where) {
  if (value.kind != PickleKind::kPersistent) return std::nullopt;
  const PickleValue& id = *value.items[0];
  const bool shaped = id.kind == PickleKind::kTuple && id.items.size() >= 5 &&
                      id.items[0]->kind == PickleKind::kText && id.items[0]->text == "storage" &&
                      id.items[2]->kind == PickleKind::kText &&
                      id.items[4]->kind == PickleKind::kInt;
  // The key is copied below, and a long one can be shared by every storage.
  ELBEAM_CHECK(!shaped || ssize(id.items[2]->text.size()) <= limits::kMaxNameBytes,
               ErrorCode::kLimit, where, ": a storage's key has more than ", limits::kMaxNameBytes,
               " bytes");
  ELBEAM_CHECK(shaped, ErrorCode::kFormat, where,
               ": a persistent id that is not ('storage', class, key, ", "location, count)");
  // Legacy files name views of other storages in a sixth place; torch < 0.4 wrote such.
  ELBEAM_CHECK(id.items.size() == 5 || id.items[5]->kind == PickleKind::kNone,
               ErrorCode::kUnsupported, where, ": storage ", quoted(id.items[2]->text),
               " is a view of another one (a file of torch < 0.4)");
  StorageReference reference{std::string(id.items[2]->text), storage_type(*id.items[1], where),
                             id.items[4]->integer};
  ELBEAM_CHECK(reference.elements >= 0, ErrorCode::kFormat, where, ": storage ",
               quoted(reference.key), " has a negative size");
  // From here on the product with the element size cannot overflow.
  ELBEAM_CHECK(reference.elements <= limits::kMaxFileBytes / tensor_type_size(reference.type),
               ErrorCode::kLimit, where, ": storage ", quoted(reference.key), " has ",
               reference.elements, " elements, which no file of at most ", limits::kMaxFileBytes,
               " bytes holds");
  return reference;
}

std::optional<TensorView> TensorDecoder::decode(const PickleValue& value,
                                                const std::string& name) const {
  const PickleValue* call = &value;
  for (int wrappers = 0; wrappers < 4 && (is_call_of(*call, "torch._utils _rebuild_parameter") ||
                                          is_call_of(*call, "torch.nn.parameter Parameter"));
       ++wrappers) {
    ELBEAM_CHECK(!call->items[1]->items.empty(), ErrorCode::kFormat, where_, ": tensor ",
                 quoted(name, 200), ": a parameter without data");
    call = call->items[1]->items[0];
  }
  if (!is_call_of(*call, "torch._utils _rebuild_tensor_v2") &&
      !is_call_of(*call, "torch._utils _rebuild_tensor")) {
    return std::nullopt;
  }
  const std::vector<const PickleValue*>& arguments = call->items[1]->items;
  ELBEAM_CHECK(arguments.size() >= 4 && arguments[1]->kind == PickleKind::kInt, ErrorCode::kFormat,
               where_, ": tensor ", quoted(name, 200),
               ": expected storage, offset, shape and strides");
  const std::optional<StorageReference> storage = parse_storage(*arguments[0], where_);
  ELBEAM_CHECK(storage.has_value(), ErrorCode::kFormat, where_, ": tensor ", quoted(name, 200),
               ": its storage is not a storage");
  TensorView view;
  view.type = storage->type;
  view.shape = integers(*arguments[2], where_, name);
  view.strides = integers(*arguments[3], where_, name);
  const std::int64_t offset = arguments[1]->integer;
  ELBEAM_CHECK(offset >= 0 && view.shape.size() == view.strides.size(), ErrorCode::kFormat, where_,
               ": tensor ", quoted(name, 200), ": ", view.shape.size(), " dimensions, ",
               view.strides.size(), " strides, offset ", offset);
  std::int64_t last = 0;
  std::int64_t bound = 0;
  try {
    last = reach(view, offset);
    bound = size_bound(view);
  } catch (const Error& overflow) {  // arithmetic does not know of what it is
    fail(overflow.code(), where_, ": tensor ", quoted(name, 200), ": ", overflow.what());
  }
  ELBEAM_CHECK(last <= storage->elements, ErrorCode::kIntegrity, where_, ": tensor ",
               quoted(name, 200), ": reaches element ", last, " of storage ", quoted(storage->key),
               ", which has ", storage->elements);
  // With a stride of 0 a few bytes can stand for any number of elements, which a copy would need.
  ELBEAM_CHECK(last == 0 || bound <= storage->elements, ErrorCode::kIntegrity, where_, ": tensor ",
               quoted(name, 200), ": has ", bound, " elements, and its storage ",
               quoted(storage->key), " has ", storage->elements);
  view.data = storages_(*storage).data();
  if (last > 0) view.data += checked_mul(offset, tensor_type_size(view.type));
  return view;
}

// Checked before it is copied: a long name can be shared by a million entries.
std::string TensorDecoder::join(const std::string& prefix, std::string_view name) const {
  ELBEAM_CHECK(ssize(prefix.size() + name.size()) < limits::kMaxNameBytes, ErrorCode::kLimit,
               where_, ": the name ", quoted(name), " (in ", quoted(prefix), ") has more than ",
               limits::kMaxNameBytes, " bytes");
  std::string result = prefix;
  if (!prefix.empty()) result += '.';
  return result.append(name);
}

void TensorDecoder::insert(TensorMap& out, const std::string& name, const TensorView& view) const {
  ELBEAM_CHECK(ssize(out.size()) < limits::kMaxTensors, ErrorCode::kLimit, where_, ": more than ",
               limits::kMaxTensors, " tensors");
  ELBEAM_CHECK(out.try_emplace(name, view).second, ErrorCode::kFormat, where_,
               ": two tensors are called ", quoted(name, 200));
}

TensorMap TensorDecoder::decode_state_dict(const PickleValue& dict) const {
  ELBEAM_CHECK(dict.kind == PickleKind::kDict, ErrorCode::kFormat, where_,
               ": the model's state is not a dict");
  TensorMap out;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleValue& key = *dict.items[i];
    ELBEAM_CHECK(key.kind == PickleKind::kText, ErrorCode::kFormat, where_,
                 ": a tensor of the model has no name");
    const std::string name = join("", key.text);
    const std::optional<TensorView> view = decode(*dict.items[i + 1], name);
    ELBEAM_CHECK(view.has_value(), ErrorCode::kUnsupported, where_, ": ", quoted(name, 200),
                 " of the model's state is not a plain tensor");
    insert(out, name, *view);
  }
  return out;
}

TensorMap TensorDecoder::decode_module(const PickleValue& root) const {
  ModuleWalk walk;
  walk_module(root, "", 0, walk);
  return std::move(walk.tensors);
}

void TensorDecoder::walk_module(const PickleValue& object, const std::string& prefix, int depth,
                                ModuleWalk& walk) const {
  ELBEAM_CHECK(depth <= limits::kMaxPickleDepth, ErrorCode::kLimit, where_,
               ": modules nest deeper than ", limits::kMaxPickleDepth);
  ELBEAM_CHECK(object.kind == PickleKind::kObject && object.items[2]->kind == PickleKind::kDict,
               ErrorCode::kFormat, where_, ": ", quoted(prefix, 200), " is not a module");
  const std::vector<const PickleValue*>& attributes = object.items[2]->items;
  for (std::size_t i = 0; i + 1 < attributes.size(); i += 2) {
    // A module can be an attribute of many, so that 64 levels of two are 2^64 paths.
    ELBEAM_CHECK(++walk.visits <= limits::kMaxPickleObjects, ErrorCode::kLimit, where_,
                 ": the modules have more than ", limits::kMaxPickleObjects, " attributes");
    if (attributes[i]->kind != PickleKind::kText) continue;
    const std::string name = join(prefix, attributes[i]->text);
    const PickleValue& value = *attributes[i + 1];
    if (const std::optional<TensorView> view = decode(value, name)) {
      insert(walk.tensors, name, *view);
    } else if (value.kind == PickleKind::kObject &&
               value.items[0]->text.substr(0, 9) == "__torch__" &&
               value.items[2]->kind == PickleKind::kDict) {
      walk_module(value, name, depth + 1, walk);
    }
  }
}

nlohmann::json to_json(const PickleValue& value, const std::string& where) {
  return JsonWriter(where).write(value);
}

// args before cfg, as load_model_ensemble_and_task has it: new checkpoints say None there.
nlohmann::json checkpoint_config(const PickleValue& root, const std::string& where) {
  nlohmann::json config = nlohmann::json::object();
  const PickleValue* args = root.find("args");
  if (args != nullptr && args->kind != PickleKind::kNone) {
    nlohmann::json options = to_json(*args, where);
    upgrade_arguments(options);
    config["task"] = options;
    config["model"] = std::move(options);
    return config;
  }
  const PickleValue* cfg = root.find("cfg");
  if (cfg == nullptr || cfg->kind == PickleKind::kNone) return config;
  nlohmann::json all = to_json(*cfg, where);
  for (const char* key : {"model", "task"}) {
    if (all.is_object() && all.contains(key)) config[key] = std::move(all.at(key));
  }
  return config;
}

}  // namespace elbeam::archive
