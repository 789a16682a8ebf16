#include "archive/byte_reader.hpp"
#include "archive/checkpoint_data.hpp"
#include "archive/crc32.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>

namespace elbeam::archive {
namespace {

// torch/serialization.py: MAGIC_NUMBER as pickle stores it, little-endian, and PROTOCOL_VERSION.
constexpr std::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr std::int64_t kProtocol = 1001;
constexpr std::int64_t kMaxHeaderBytes = 4096;  // of the pickles before the checkpoint's; have 150

class LegacyReader {
 public:
  explicit LegacyReader(const MappedFile& file) : file_(file.bytes()), path_(file.path()) {}

  CheckpointData run() {
    const PickleDocument magic = next(kMaxHeaderBytes);
    ELBEAM_CHECK(magic.root().kind == PickleKind::kText && magic.root().text == kMagic,
                 ErrorCode::kFormat, path_, ": not a legacy torch file: the magic number is wrong");
    const PickleDocument protocol = next(kMaxHeaderBytes);
    ELBEAM_CHECK(protocol.root().kind == PickleKind::kInt && protocol.root().integer == kProtocol,
                 ErrorCode::kUnsupported, path_, ": legacy protocol version, expected ", kProtocol);
    const PickleDocument system = next(kMaxHeaderBytes);
    const PickleValue* little = system.root().find("little_endian");
    ELBEAM_CHECK(little != nullptr && little->kind == PickleKind::kBool && little->integer == 1,
                 ErrorCode::kUnsupported, path_, ": not written on a little-endian machine");
    const PickleDocument document = next(limits::kMaxPickleBytes);
    collect_storages(document);
    place_storages(next(most_key_bytes()).root());
    const auto pickles = file_.first(usize(position_));
    const TensorDecoder tensors([this](const StorageReference& storage) { return find(storage); },
                                path_);
    CheckpointData data;
    data.format = CheckpointFormat::kFairseqLegacy;
    data.summary = crc32(0, pickles);
    const PickleValue* state = document.root().find("model");
    ELBEAM_CHECK(state != nullptr, ErrorCode::kFormat, path_,
                 ": not a fairseq checkpoint: its root is not a dict with the entry 'model'");
    data.tensors = tensors.decode_state_dict(*state);
    data.config = checkpoint_config(document.root(), path_);
    return data;
  }

 private:
  struct Storage {
    StorageReference reference;
    std::span<const std::byte> bytes;
    bool placed = false;
  };

  // These pickles are alive at the same time, so only one of them may be large.
  PickleDocument next(std::int64_t max_bytes) {
    const auto rest = file_.subspan(usize(position_));
    PickleDocument document(rest.first(std::min(rest.size(), usize(max_bytes))), path_, position_);
    position_ += document.size();
    return document;
  }

  // Types and sizes of all storages: the data that follows does not say what it is.
  void collect_storages(const PickleDocument& document) {
    for (const PickleValue& value : document.values()) {
      const std::optional<StorageReference> reference = parse_storage(value, path_);
      if (!reference) continue;
      const auto [it, fresh] =
          storages_.try_emplace(reference->key, Storage{*reference, {}, false});
      ELBEAM_CHECK(fresh || (it->second.reference.type == reference->type &&
                             it->second.reference.elements == reference->elements),
                   ErrorCode::kFormat, path_, ": storage ", quoted(reference->key),
                   " is described in two ways");
    }
  }

  // Of a pickled list of all keys: an opcode with a length and a memo entry for each, and marks.
  std::int64_t most_key_bytes() const {
    std::int64_t bytes = kMaxHeaderBytes;
    for (const auto& [key, storage] : storages_) bytes += ssize(key.size()) + 16;
    return bytes;
  }

  void place_storages(const PickleValue& keys) {
    ELBEAM_CHECK(keys.kind == PickleKind::kList, ErrorCode::kFormat, path_,
                 ": the list of storages is missing");
    ByteReader reader(file_, path_, position_);
    for (const PickleValue* key : keys.items) {
      ELBEAM_CHECK(key->kind == PickleKind::kText, ErrorCode::kFormat, path_,
                   ": a storage without a key");
      const auto it = storages_.find(key->text);
      ELBEAM_CHECK(it != storages_.end() && !it->second.placed, ErrorCode::kFormat, path_,
                   ": storage ", quoted(key->text), " is listed twice, or never used");
      const StorageReference& reference = it->second.reference;
      const auto elements = reader.read<std::int64_t>("a storage's size");
      ELBEAM_CHECK(elements == reference.elements, ErrorCode::kIntegrity, path_, ": storage ",
                   quoted(reference.key), ": expected ", reference.elements,
                   " elements, the data has ", elements);
      it->second.bytes =
          reader.take(checked_mul(elements, tensor_type_size(reference.type)), "a storage");
      it->second.placed = true;
    }
    ELBEAM_CHECK(reader.remaining() == 0, ErrorCode::kFormat, path_, ": ", reader.remaining(),
                 " bytes after the last storage");
  }

  std::span<const std::byte> find(const StorageReference& reference) const {
    const auto it = storages_.find(reference.key);
    ELBEAM_CHECK(it != storages_.end() && it->second.placed, ErrorCode::kIntegrity, path_,
                 ": storage ", quoted(reference.key), " is missing");
    return it->second.bytes;
  }

  std::span<const std::byte> file_;
  const std::string& path_;
  std::int64_t position_ = 0;
  std::map<std::string, Storage, std::less<>> storages_;
};

}  // namespace

CheckpointData read_torch_legacy(const MappedFile& file) { return LegacyReader(file).run(); }

}  // namespace elbeam::archive
