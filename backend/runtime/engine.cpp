#include "runtime/engine.hpp"

#include "archive/checkpoint.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "device/device_pool.hpp"
#include "model/gpt2.hpp"
#include "model/initialisation_draws.hpp"
#include "runtime/combined_models.hpp"
#include "runtime/script_engine.hpp"
#include "runtime/vocabulary_files.hpp"

#include <nlohmann/json.hpp>

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace elbeam::runtime {
namespace {

using archive::Checkpoint;
using archive::CheckpointFormat;

const char* format_name(CheckpointFormat format) {
  switch (format) {
    case CheckpointFormat::kFairseqZip:
      return "fairseq checkpoint (zip)";
    case CheckpointFormat::kFairseqLegacy:
      return "fairseq checkpoint (legacy)";
    case CheckpointFormat::kElbeamArchive:
      return "elbeam archive";
    case CheckpointFormat::kHuggingFace:
      return "Hugging Face folder";
  }
  return "unknown";
}

std::optional<text::Dictionary> load_dictionary(const std::string& path,
                                                const std::vector<std::string>& extra_symbols,
                                                const Checkpoint& checkpoint,
                                                const char* extra_name) {
  if (!path.empty()) {
    auto dictionary = text::Dictionary::load(path);
    for (const std::string& symbol : extra_symbols) dictionary.add_symbol(symbol);
    return dictionary;
  }
  const std::string* content = checkpoint.extra_file(extra_name);
  if (content == nullptr) return std::nullopt;
  return text::Dictionary::parse_full(*content, checkpoint.path() + ":" + extra_name);
}

std::int64_t count_parameters(const Checkpoint& checkpoint) {
  std::set<std::pair<const std::byte*, std::int64_t>> seen;  // tied tensors share their bytes
  std::int64_t count = 0;
  for (const auto& [name, view] : checkpoint.tensors()) {
    const bool is_float =
        view.type == archive::TensorType::kFloat32 || view.type == archive::TensorType::kFloat16 ||
        view.type == archive::TensorType::kBFloat16 || view.type == archive::TensorType::kFloat64;
    // Buffers of fairseq's modules; ".weights" is a computed table of sinusoids.
    const bool is_buffer = name.ends_with(".version") || name.ends_with("._float_tensor") ||
                           name.ends_with(".embed_positions.weights");
    if (!is_float || is_buffer) continue;
    if (seen.insert({view.data, view.element_count()}).second) count += view.element_count();
  }
  return count;
}

// fairseq finds this out when load_state_dict fails; with the numbers it is quicker to mend.
struct DictionarySide {
  const char* name;  // "source" or "target"
  const std::string& path;
  const std::string& model_path;
};

void check_dictionary(const std::optional<text::Dictionary>& dictionary, std::int64_t vocab_size,
                      const DictionarySide& side) {
  if (!dictionary) return;
  ELBEAM_CHECK(dictionary->size() == vocab_size, ErrorCode::kModel,
               "model and data do not fit: the ", side.name, " dictionary ",
               side.path.empty() ? "of the archive" : side.path, " has ", dictionary->size(),
               " types (4 special symbols included), the ", side.name, " embedding of ",
               side.model_path, " has ", vocab_size);
}

// An archive says in its own facts what the scripted modules do not show.
std::unique_ptr<StepModel> load_scripted(const LoadOptions& options, const Checkpoint& checkpoint,
                                         ModelInfo& info) {
  ELBEAM_CHECK(checkpoint.format() == CheckpointFormat::kElbeamArchive, ErrorCode::kUsage,
               options.model_path,
               ": --engine torchscript needs an archive; make one with python -m "
               "torchscript_models.export --path CKPT --data DATA-BIN --out FILE.ts.pt");
  const nlohmann::json& facts = checkpoint.config().at("elbeam");
  const auto integer = [&](const char* key) {
    const auto it = facts.find(key);
    ELBEAM_CHECK(it != facts.end() && it->is_number_integer() && it->get<std::int64_t>() > 0,
                 ErrorCode::kModel, options.model_path, ": config.json: ", key,
                 " is not a positive integer");
    return it->get<std::int64_t>();
  };
  // Adaptive input has a matrix for each band of the vocabulary.
  const auto words = [&](const std::string& embedding) {
    std::int64_t count = 0;
    const auto add = [&](const std::string& name) {
      const auto it = checkpoint.tensors().find(name);
      if (it == checkpoint.tensors().end()) return false;
      ELBEAM_CHECK(it->second.shape.size() == 2, ErrorCode::kModel, options.model_path, ": ", name,
                   " is not a matrix");
      count = checked_add(count, it->second.shape[0]);
      return true;
    };
    if (!add(embedding + ".weight")) {
      int band = 0;
      while (add(embedding + ".embeddings." + std::to_string(band) + ".0.weight")) ++band;
      ELBEAM_CHECK(band > 0, ErrorCode::kModel, options.model_path, ": matrix ", embedding,
                   ".weight is missing");
    }
    return count;
  };
  const auto kind = facts.find("kind");
  ELBEAM_CHECK(kind != facts.end() && (*kind == "seq2seq" || *kind == "lm"), ErrorCode::kModel,
               options.model_path, ": config.json: kind: expected \"seq2seq\" or \"lm\", got ",
               kind == facts.end() ? "nothing" : quoted(kind->dump()));
  torchscript::ScriptModelOptions script;
  script.has_encoder = *kind == "seq2seq";
  script.path = options.model_path;
  script.special = info.special;
  script.max_source_positions = integer("max_source_positions");
  script.max_target_positions = integer("max_target_positions");
  script.target_vocab_size = words("decoder.embed_tokens");
  script.source_vocab_size = info.source_vocab_size =
      script.has_encoder ? words("encoder.embed_tokens") : script.target_vocab_size;
  script.dtype = options.dtype;
  script.threads = options.threads;
  return load_script_engine(script);
}

std::shared_ptr<const Checkpoint> under_fairseq_names(
    std::shared_ptr<const Checkpoint> checkpoint) {
  return checkpoint->format() == CheckpointFormat::kHuggingFace
             ? model::gpt2_as_fairseq(std::move(checkpoint))
             : checkpoint;
}

// on_device: the model, if it runs on one.
std::unique_ptr<model::Transformer> load_native(
    std::shared_ptr<const Checkpoint> checkpoint, const LoadOptions& options,
    std::shared_ptr<const model::VocabularySelection> selection, device::DeviceModel*& on_device) {
  const model::TransformerOptions wanted{
      options.attention,
      options.dtype,
      options.threads,
      options.half_weights,
      options.memory_limit,
      options.language_pair,
      options.model_overrides,
      options.share_sources,
      std::move(selection),
      options.pack_cache ? std::optional(options.pack_cache_folder) : std::nullopt};
  if (options.device == "cpu") return model::load_transformer(std::move(checkpoint), wanted);
  std::vector<std::unique_ptr<device::DeviceModel>> models;
  for (const std::string& name : device::device_names(options.device))
    models.push_back(device::load_device_model(checkpoint, wanted, device::open_device(name)));
  auto loaded = device::make_device_pool(std::move(models));
  on_device = loaded.get();
  return loaded;
}

LoadedModel load_single(const LoadOptions& options) {
  LoadedModel loaded;
  // A pack cache holds the numbers: those of the model are not read where there is one.
  std::shared_ptr<const Checkpoint> checkpoint =
      Checkpoint::open(options.model_path,
                       options.pack_cache ? archive::DataCheck::kLater : archive::DataCheck::kNow);
  loaded.info.source_format = format_name(checkpoint->format());
  loaded.info.parameters = count_parameters(*checkpoint);
  checkpoint = under_fairseq_names(std::move(checkpoint));
  loaded.info.initialisation_draws =
      model::initialisation_draws(checkpoint->config(), checkpoint->tensors());
  loaded.source = load_dictionary(options.source_dictionary_path, options.extra_symbols,
                                  *checkpoint, "dict.src.txt");
  loaded.target = load_dictionary(options.target_dictionary_path, options.extra_symbols,
                                  *checkpoint, "dict.tgt.txt");
  if (loaded.target) loaded.info.special = loaded.target->special();
  loaded.info.architecture = "transformer";
  if (const auto model = checkpoint->config().find("model");
      model != checkpoint->config().end() && model->is_object()) {
    if (const auto arch = model->find("arch"); arch != model->end() && arch->is_string()) {
      loaded.info.architecture = arch->get<std::string>();
    }
  }
  if (options.engine == Engine::kTorchScript) {
    loaded.model = load_scripted(options, *checkpoint, loaded.info);
  } else {
    auto native = load_native(std::move(checkpoint), options,
                              read_selection(options.vocabulary, loaded.source, loaded.target),
                              loaded.on_device);
    loaded.info.architecture = native->architecture();
    loaded.info.source_vocab_size = native->source_vocab_size();
    loaded.info.pack_caches_read = native->pack_cache().read ? 1 : 0;
    loaded.info.pack_caches_written = native->pack_cache().written ? 1 : 0;
    loaded.info.warnings = native->pack_cache().warnings;
    loaded.native.push_back(native.get());
    loaded.model = std::move(native);
  }
  loaded.info.target_vocab_size = loaded.model->vocab_size();
  loaded.info.max_source_positions = loaded.model->max_source_positions();
  loaded.info.max_target_positions = loaded.model->max_decoder_positions();
  check_dictionary(loaded.source, loaded.info.source_vocab_size,
                   {"source", options.source_dictionary_path, options.model_path});
  check_dictionary(loaded.target, loaded.info.target_vocab_size,
                   {"target", options.target_dictionary_path, options.model_path});
  return loaded;
}

// Adds what `other` has to what is known of an ensemble, or of a model and its language model.
void add_model(LoadedModel& loaded, const LoadedModel& other) {
  loaded.native.insert(loaded.native.end(), other.native.begin(), other.native.end());
  loaded.info.parameters += other.info.parameters;
  loaded.info.pack_caches_read += other.info.pack_caches_read;
  loaded.info.pack_caches_written += other.info.pack_caches_written;
  loaded.info.warnings.insert(loaded.info.warnings.end(), other.info.warnings.begin(),
                              other.info.warnings.end());
  auto& draws = loaded.info.initialisation_draws;
  if (draws && other.info.initialisation_draws) {
    *draws += *other.info.initialisation_draws;
  } else {
    draws.reset();
  }
}

}  // namespace

std::optional<text::Dictionary> own_dictionary(const std::string& model_path) {
  return load_dictionary({}, {}, *under_fairseq_names(Checkpoint::open(model_path)),
                         "dict.tgt.txt");
}

LoadedModel load_model(const LoadOptions& options) {
  options.validate();
  LoadedModel loaded = load_single(options);
  std::vector<std::shared_ptr<StepModel>> models{loaded.model};
  for (const std::string& path : options.ensemble_paths) {
    LoadOptions one = options;
    one.model_path = path;
    LoadedModel member = load_single(one);
    models.push_back(member.model);
    add_model(loaded, member);
  }
  if (models.size() > 1) {
    loaded.model = make_ensemble(std::move(models));
    loaded.on_device = nullptr;
  }
  if (!options.lm_path.empty()) {
    LoadOptions one = options;
    one.model_path = options.lm_path;
    one.source_dictionary_path = one.target_dictionary_path = options.lm_dictionary_path;
    one.extra_symbols.clear();
    one.language_pair.clear();
    one.vocabulary = {};
    const LoadedModel language_model = load_single(one);
    loaded.model = make_fused_model(loaded.model, language_model.model, options.lm_weight);
    loaded.on_device = nullptr;
    add_model(loaded, language_model);
  }
  loaded.info.max_source_positions = loaded.model->max_source_positions();
  loaded.info.max_target_positions = loaded.model->max_decoder_positions();
  return loaded;
}

}  // namespace elbeam::runtime
