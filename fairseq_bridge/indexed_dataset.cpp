#include "fairseq_bridge/indexed_dataset.hpp"

#include "base/check.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "text/python_format.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace elbeam::fairseq {
namespace {

constexpr std::array<std::pair<std::string_view, DatasetImpl>, 6> kNames = {{
    {"raw", DatasetImpl::kRaw},
    {"lazy", DatasetImpl::kLazy},
    {"cached", DatasetImpl::kCached},
    {"mmap", DatasetImpl::kMmap},
    {"fasta", DatasetImpl::kFasta},
    {"huffman", DatasetImpl::kHuffman},
}};

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

bool index_exists(const std::string& prefix) {
  return exists(prefix + ".idx") && exists(prefix + ".bin");
}

std::string magic_of(const std::string& path) {
  std::string magic(8, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(magic.data(), static_cast<std::streamsize>(magic.size()));
  return file ? magic : std::string();
}

// indexed_dataset.infer_dataset_impl; kInferred where fairseq finds nothing it knows.
DatasetImpl infer(const std::string& prefix) {
  if (exists(prefix)) return DatasetImpl::kRaw;
  if (index_exists(prefix)) {
    const std::string magic = magic_of(prefix + ".idx");
    if (magic == std::string_view("TNTIDX\0\0", 8)) return DatasetImpl::kCached;
    if (magic == std::string_view("HUFFIDX\0", 8)) return DatasetImpl::kHuffman;
    return DatasetImpl::kMmap;  // refused there with a message, if it is not
  }
  return exists(prefix + ".fasta") ? DatasetImpl::kFasta : DatasetImpl::kInferred;
}

// indexed_dataset.make_dataset
std::unique_ptr<TokenDataset> open(const std::string& prefix, DatasetImpl impl,
                                   const text::Dictionary& dictionary) {
  switch (impl) {
    case DatasetImpl::kRaw:
      return exists(prefix) ? open_raw_dataset(prefix, dictionary) : nullptr;
    case DatasetImpl::kLazy:
    case DatasetImpl::kCached:
      return index_exists(prefix) ? open_tnt_dataset(prefix) : nullptr;
    case DatasetImpl::kMmap:
      return index_exists(prefix) ? open_mmap_dataset(prefix) : nullptr;
    case DatasetImpl::kFasta:
      return exists(prefix + ".fasta") ? open_fasta_dataset(prefix, dictionary) : nullptr;
    case DatasetImpl::kHuffman:
      return index_exists(prefix) && exists(prefix + ".vocab") ? open_huffman_dataset(prefix)
                                                               : nullptr;
    case DatasetImpl::kInferred:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

std::optional<DatasetImpl> parse_dataset_impl(std::string_view name) noexcept {
  for (const auto& [known, impl] : kNames) {
    if (known == name) return impl;
  }
  return std::nullopt;
}

std::string first_data_path(const std::string& paths) {
  const char separator = paths.find("://") == std::string::npos ? ':' : '|';
  return paths.substr(0, paths.find(separator));
}

bool dataset_exists(const std::string& prefix, DatasetImpl impl) {
  if (impl == DatasetImpl::kRaw) return exists(prefix);
  if (impl == DatasetImpl::kHuffman) return index_exists(prefix) && exists(prefix + ".vocab");
  return index_exists(prefix);
}

std::unique_ptr<TokenDataset> load_indexed_dataset(const std::string& prefix, DatasetImpl impl,
                                                   const text::Dictionary& dictionary) {
  auto dataset = open(prefix, impl == DatasetImpl::kInferred ? infer(prefix) : impl, dictionary);
  if (dataset != nullptr) {
    fairseq_log(
        LogLevel::kInfo, "fairseq.data.data_utils",
        concat("loaded ", text::python_thousands(dataset->size()), " examples from: ", prefix));
  }
  return dataset;
}

}  // namespace elbeam::fairseq
