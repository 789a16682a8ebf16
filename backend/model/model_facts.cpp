// What a checkpoint and the options say about the model that they name.
#include "base/check.hpp"
#include "model/overrides.hpp"
#include "model/transformer.hpp"

#include <nlohmann/json.hpp>

#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace elbeam::model {
namespace {

kernels::Storage packed_storage(DType dtype) {
  switch (dtype) {
    case DType::kFp16:
      return kernels::Storage::kHalf;
    case DType::kBf16:
      return kernels::kernels<float>().multiply_pairs != nullptr ? kernels::Storage::kBFloat16Pairs
                                                                 : kernels::Storage::kBFloat16;
    case DType::kInt8:
      return kernels::Storage::kInt8;
    case DType::kFp32:
    case DType::kFp64:
      break;
  }
  return kernels::Storage::kSame;
}

// Multilingual checkpoints: which of models.<pair>.* to read.
std::string multilingual_prefix(const archive::Checkpoint& checkpoint, const std::string& wanted) {
  std::set<std::string> pairs;
  for (const auto& [name, view] : checkpoint.tensors()) {
    const std::size_t begin = std::string_view("models.").size();
    const std::size_t end = name.find('.', begin);
    if (name.starts_with("models.") && end != std::string::npos)
      pairs.insert(name.substr(begin, end - begin));
  }
  std::string known;
  for (const std::string& pair : pairs) known += (known.empty() ? "" : ", ") + quoted(pair);
  const std::string pair = wanted.empty() && pairs.size() == 1 ? *pairs.begin() : wanted;
  ELBEAM_CHECK(pairs.contains(pair), ErrorCode::kUsage, checkpoint.path(),
               ": a multilingual model of the language pairs ", known, ", and ",
               wanted.empty() ? "none was named" : quoted(wanted) + " is not among them");
  return concat("models.", pair, ".");
}

}  // namespace

ModelFacts model_facts(const archive::Checkpoint& checkpoint, const TransformerOptions& options) {
  nlohmann::json facts = checkpoint.config();
  override_model_config(facts, options.model_overrides);
  TransformerConfig config = parse_transformer_config(facts, checkpoint.path());
  for (const auto& [name, view] : checkpoint.tensors()) {
    ELBEAM_CHECK(!name.ends_with(".centroids"), ErrorCode::kUnsupported, checkpoint.path(),
                 ": the native engine cannot run weights of iterative product quantization (",
                 quoted(name, 200),
                 "), made with --quantization-config-path; use --engine torchscript");
  }
  ReaderOptions reading;
  reading.half = options.half;
  reading.storage = packed_storage(options.dtype);
  reading.names.encoder_kept = config.encoder.kept_layers;
  reading.names.decoder_kept = config.decoder.kept_layers;
  if (config.multilingual)
    reading.names.prefix = multilingual_prefix(checkpoint, options.language_pair);
  return {std::move(config), std::move(reading)};
}

}  // namespace elbeam::model
