// Which of fairseq's data formats a path holds, and the data set behind it: what
// fairseq/data/indexed_dataset.py and data_utils.load_indexed_dataset decide.
#pragma once

#include "fairseq_bridge/token_dataset.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace elbeam::fairseq {

// --dataset-impl. kInferred: not given.
enum class DatasetImpl { kInferred, kRaw, kLazy, kCached, kMmap, kFasta, kHuffman };

// "raw", "lazy", "cached", "mmap", "fasta", "huffman".
std::optional<DatasetImpl> parse_dataset_impl(std::string_view name) noexcept;

// utils.split_paths()[0]: ':' separates, unless the text holds a URL, where '|' does. The first
// folder is the one that holds the splits other than train.
std::string first_data_path(const std::string& paths);

// indexed_dataset.dataset_exists: whether the files are there that this format is looked for by.
// Without --dataset-impl, and for fasta, these are .idx and .bin.
bool dataset_exists(const std::string& prefix, DatasetImpl impl);

// data_utils.load_indexed_dataset without `combine`: infers the format where it is not given, logs
// "loaded N examples", and gives nullptr where there is nothing. `dictionary` encodes text (raw,
// fasta). Throws Error as the formats of token_dataset.hpp do.
std::unique_ptr<TokenDataset> load_indexed_dataset(const std::string& prefix, DatasetImpl impl,
                                                   const text::Dictionary& dictionary);

}  // namespace elbeam::fairseq
