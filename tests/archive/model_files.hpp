// Tiny whole model files of the three layouts, and how tests open bytes.
#pragma once

#include "archive/checkpoint.hpp"
#include "archive/zip_bytes.hpp"
#include "support/errors.hpp"

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

namespace elbeam::test {

using archive::Checkpoint;
using archive::TensorView;

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::string scratch_path() {
  return testing::TempDir() + "elbeam_archive_" + std::to_string(::getpid());
}

// The file is gone from its folder on return; the checkpoint's mapping keeps its bytes.
inline std::unique_ptr<Checkpoint> open_bytes(const std::string& bytes) {
  const std::string path = scratch_path();
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  struct Removal {
    const std::string& path;
    ~Removal() { std::filesystem::remove(path); }
  } const removal{path};
  return Checkpoint::open(path);
}

// Whatever is wrong with a file, the message begins with its path.
inline testing::AssertionResult refused(const std::string& bytes, ErrorCode code,
                                        const std::string& part) {
  std::string message;
  const testing::AssertionResult result = throws(code, part, [&] {
    try {
      open_bytes(bytes);
    } catch (const Error& error) {
      message = error.what();
      throw;
    }
  });
  if (!result || message.rfind(scratch_path() + ":", 0) == 0) return result;
  return testing::AssertionFailure() << "the file is not named: " << message;
}

// 0, 1, 2 ... as float32.
inline std::string float_bytes(std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) bytes += py::raw(static_cast<float>(i));
  return bytes;
}

inline std::string arguments() {
  return py::object(py::global("argparse", "Namespace"),
                    {{"arch", py::text("transformer")}, {"layers", py::integer(2)}});
}

inline std::string model_state(const py::Pairs& tensors) {
  std::string pairs;
  for (const auto& [name, value] : tensors) pairs += py::text(name) + value;
  return py::call(py::global("collections", "OrderedDict"), {}) + "(" + pairs + "u";
}

// {"args": ..., "model": {"weight": tensor}} as a pickle.
inline std::string checkpoint_pickle(const std::string& tensor,
                                     const std::string& args = arguments()) {
  return py::pickle(py::dict({{"args", args}, {"model", model_state({{"weight", tensor}})}}));
}

inline std::vector<ZipEntrySpec> zip_entries(const std::string& pickle,
                                             const std::string& storage = float_bytes(6)) {
  return {{"model/data.pkl", pickle, true, false, fb_padding(7)},
          {"model/byteorder", "little", true, false, fb_padding(3)},
          {"model/data/0", storage, true, false, fb_padding(20)},
          {"model/version", "3\n", true, false, fb_padding(11)}};
}

inline ZipBytes zip_model() { return write_zip(zip_entries(checkpoint_pickle(py::tensor({})))); }

inline std::string zip_of(const std::string& pickle, const std::string& storage = float_bytes(6)) {
  return write_zip(zip_entries(pickle, storage)).bytes;
}

struct LegacyParts {
  std::string magic = py::pickle(std::string("\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19", 12));
  std::string protocol = py::pickle("M\xe9\x03");
  std::string system = py::pickle(
      py::dict({{"protocol_version", py::integer(1001)}, {"little_endian", py::truth(true)}}));
  std::string pickle = checkpoint_pickle(rebuild());
  std::string keys = py::pickle(py::list({py::text("0")}));
  std::string storages = py::raw(std::int64_t{6}) + float_bytes(6);

  // Legacy storages have a sixth place in their persistent id.
  static std::string rebuild(const py::Tensor& tensor = {}, const std::string& view = py::none()) {
    return py::rebuild(tensor, py::storage(tensor, view));
  }
  std::string bytes() const { return magic + protocol + system + pickle + keys + storages; }
};

struct ScriptParts {
  std::string config =
      R"({"format_version": 1, "kind": "seq2seq", "model": {"a": 1}, "task": {"b": 2}, "c": 3})";
  std::string root =
      module({{"encoder", module({{"weight", py::tensor({})}})}, {"training", py::truth(false)}});
  std::string code = "class Both(Module):\n  pass\n";

  static std::string module(const py::Pairs& attributes) {
    return py::object(py::global("__torch__", "Both"), attributes);
  }
  std::vector<ZipEntrySpec> entries() const {
    return {{"m/extra/dict.src.txt", "a 1\n"},
            {"m/extra/config.json", config},
            {"m/data/0", float_bytes(6), true, false, fb_padding(9)},
            {"m/data.pkl", py::pickle(root)},
            {"m/code/__torch__.py", code, true, true},
            {"m/constants.pkl", py::pickle(")")},
            {"m/version", "3\n"}};
  }
  std::string bytes() const { return write_zip(entries()).bytes; }
};

// Element i of a tensor as its strides order it, row-major.
template <typename T>
std::vector<T> elements(const TensorView& view) {
  std::vector<T> result;
  std::vector<std::int64_t> index(view.shape.size(), 0);
  for (std::int64_t left = view.element_count(); left > 0; --left) {
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis < index.size(); ++axis)
      offset += index[axis] * view.strides[axis];
    T value;
    std::memcpy(&value, view.data + offset * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    result.push_back(value);
    for (std::size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < view.shape[axis]) break;
      index[axis] = 0;
    }
  }
  return result;
}

// Everything that a checkpoint says, each element read: two files with the same text are the same
// model.
inline std::string content(const Checkpoint& checkpoint) {
  std::string all = checkpoint.config().dump();
  for (const auto& [name, view] : checkpoint.tensors()) {
    all += "\n" + name + " " + archive::tensor_type_name(view.type);
    for (const std::int64_t extent : view.shape) all += " " + std::to_string(extent);
    all += view.is_contiguous() ? " row-major:" : ":";
    const auto append = [&](const auto& values) {
      for (const auto value : values) all += py::raw(value);
    };
    switch (archive::tensor_type_size(view.type)) {
      case 1:
        append(elements<std::uint8_t>(view));
        break;
      case 2:
        append(elements<std::uint16_t>(view));
        break;
      case 4:
        append(elements<std::uint32_t>(view));
        break;
      default:
        append(elements<std::uint64_t>(view));
    }
  }
  for (const char* name : {"dict.src.txt", "dict.tgt.txt"}) {
    if (const std::string* text = checkpoint.extra_file(name)) all += "\n" + *text;
  }
  return all;
}

}  // namespace elbeam::test
