#include "archive/checkpoint_data.hpp"
#include "archive/crc32.hpp"
#include "archive/json_text.hpp"
#include "archive/zip_index.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"

#include <string_view>

namespace elbeam::archive {
namespace {

constexpr std::int64_t kFormatVersion = 1;  // of config.json, torchscript_models/export.py

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void read_archive_config(const ZipIndex& zip, const std::string& path, CheckpointData& data) {
  const auto* text = zip.find("extra/config.json");
  ELBEAM_CHECK(text != nullptr, ErrorCode::kUnsupported, path,
               ": a TorchScript file without config.json; archives are made by python -m "
               "torchscript_models.export");
  const std::string where = path + ":config.json";
  nlohmann::json config = parse_json(as_text(*text), where);
  ELBEAM_CHECK(config.is_object() && config.contains("format_version") &&
                   config.at("format_version").is_number_integer(),
               ErrorCode::kFormat, where, ": expected an object with format_version");
  const auto version = config.at("format_version").get<std::int64_t>();
  ELBEAM_CHECK(version >= 1 && version <= kFormatVersion, ErrorCode::kUnsupported, where,
               ": format version ", version, ", this program reads up to ", kFormatVersion,
               "; use a newer elbeam");
  for (const char* key : {"model", "task"}) {
    if (!config.contains(key)) continue;
    data.config[key] = std::move(config.at(key));
    config.erase(key);
  }
  data.config["elbeam"] = std::move(config);
  for (const char* name : {"dict.src.txt", "dict.tgt.txt"}) {
    if (const auto* content = zip.find(std::string("extra/") + name)) {
      ELBEAM_CHECK(ssize(content->size()) <= limits::kMaxDictionaryBytes, ErrorCode::kLimit, path,
                   ": ", name, " has ", content->size(), " bytes, the limit is ",
                   limits::kMaxDictionaryBytes);
      data.extra_files.emplace(name, as_text(*content));
    }
  }
}

}  // namespace

CheckpointData read_torch_zip(const MappedFile& file, DataCheck check) {
  const std::string& path = file.path();
  const ZipIndex zip(file, check);
  const auto* pickle = zip.find("data.pkl");
  ELBEAM_CHECK(pickle != nullptr, ErrorCode::kFormat, path,
               ": not a torch file: data.pkl is missing");
  ELBEAM_CHECK(ssize(pickle->size()) <= limits::kMaxPickleBytes, ErrorCode::kLimit, path,
               ": data.pkl has ", pickle->size(), " bytes, the limit is ", limits::kMaxPickleBytes);
  if (const auto* order = zip.find("byteorder")) {
    ELBEAM_CHECK(as_text(*order) == "little", ErrorCode::kUnsupported, path, ": byte order ",
                 quoted(as_text(*order)), ", expected little");
  }
  const PickleDocument document(*pickle, path, pickle->data() - file.bytes().data());
  ELBEAM_CHECK(document.size() == ssize(pickle->size()), ErrorCode::kFormat, path,
               ": data.pkl: ", ssize(pickle->size()) - document.size(),
               " bytes after the end of the pickle");
  const TensorDecoder tensors(
      [&](const StorageReference& storage) {
        const auto* bytes = zip.find("data/" + storage.key);
        ELBEAM_CHECK(bytes != nullptr, ErrorCode::kIntegrity, path, ": record data/",
                     quoted(storage.key), " is missing");
        const std::int64_t expected = checked_mul(storage.elements, tensor_type_size(storage.type));
        ELBEAM_CHECK(ssize(bytes->size()) == expected, ErrorCode::kIntegrity, path,
                     ": record data/", quoted(storage.key), ": expected ", expected, " bytes for ",
                     storage.elements, " x ", tensor_type_name(storage.type), ", got ",
                     bytes->size());
        return *bytes;
      },
      path);
  CheckpointData data;
  data.unchecked = zip.unchecked();
  data.summary = crc32(0, zip.directory());
  if (zip.find("constants.pkl") != nullptr) {
    data.format = CheckpointFormat::kElbeamArchive;
    read_archive_config(zip, path, data);
    data.tensors = tensors.decode_module(document.root());
    return data;
  }
  const PickleValue* state = document.root().find("model");
  ELBEAM_CHECK(state != nullptr, ErrorCode::kFormat, path,
               ": not a fairseq checkpoint: its root is not a dict with the entry 'model'");
  data.tensors = tensors.decode_state_dict(*state);
  data.config = checkpoint_config(document.root(), path);
  return data;
}

}  // namespace elbeam::archive
