#include <elbeam/generator.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "kernels/kernels.hpp"
#include "runtime/engine.hpp"
#include "search/alternatives.hpp"
#include "search/decode_loop.hpp"
#include "search/sequence_scorer.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <mutex>
#include <new>
#include <utility>

namespace elbeam {
namespace {

// Set from a signal handler, hence lock-free.
std::atomic<bool> g_cancelled{false};
static_assert(std::atomic<bool>::is_always_lock_free);

bool is_cancelled() { return g_cancelled.load(std::memory_order_relaxed); }

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Times the encoder apart from the decode loop that calls it.
class TimedModel : public StepModel {
 public:
  explicit TimedModel(StepModel& model) : model_(model) {}

  std::int64_t vocab_size() const override { return model_.vocab_size(); }
  std::int64_t max_decoder_positions() const override { return model_.max_decoder_positions(); }
  std::int64_t max_source_positions() const override { return model_.max_source_positions(); }
  bool has_encoder() const override { return model_.has_encoder(); }
  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    const auto begin = std::chrono::steady_clock::now();
    auto state = model_.start(batch, shape);
    encode_seconds_ += seconds_since(begin);
    return state;
  }
  double encode_seconds() const { return encode_seconds_; }

 private:
  StepModel& model_;
  double encode_seconds_ = 0.0;
};

}  // namespace

struct Generator::Impl {
  runtime::LoadedModel loaded;
  mutable std::mutex mutex;  // guards counters
  mutable Statistics counters;

  // Runs and counts `decode`, which throws Error or std::bad_alloc.
  std::vector<SentenceResult> run(
      const SourceBatch& batch, std::int64_t nbest,
      const std::function<search::DecodeResult(StepModel&)>& decode) const;
};

void request_cancellation() noexcept { g_cancelled.store(true, std::memory_order_relaxed); }

const char* version() { return ELBEAM_VERSION; }

std::string supported_devices() { return "devices: cpu, " + device::supported_devices(); }

Generator::Generator(const LoadOptions& options) : impl_(std::make_unique<Impl>()) {
  try {
    impl_->loaded = runtime::load_model(options);
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kOutOfMemory, options.model_path, ": not enough memory to load the model");
  }
  impl_->counters.engine = !impl_->loaded.native.empty() ? "native" : "torchscript";
}

Generator::Generator(std::shared_ptr<StepModel> model, const SpecialTokens& special)
    : impl_(std::make_unique<Impl>()) {
  ELBEAM_CHECK(model != nullptr, ErrorCode::kUsage, "Generator needs a model");
  impl_->loaded.info.architecture = "custom";
  impl_->loaded.info.special = special;
  impl_->loaded.info.target_vocab_size = model->vocab_size();
  impl_->loaded.info.max_source_positions = model->max_source_positions();
  impl_->loaded.info.max_target_positions = model->max_decoder_positions();
  impl_->loaded.on_device = dynamic_cast<device::DeviceModel*>(model.get());
  impl_->loaded.model = std::move(model);
  impl_->counters.engine = "custom";
}

Generator::~Generator() = default;
Generator::Generator(Generator&&) noexcept = default;
Generator& Generator::operator=(Generator&&) noexcept = default;

namespace {

search::DecodeRequest decode_request(const GenerateRequest& wanted, const SearchOptions& options,
                                     const SpecialTokens& special) {
  search::DecodeRequest request;
  request.batch = &wanted.batch;
  request.options = options;
  request.special = special;
  request.special.eos = wanted.end_token.value_or(special.eos);
  request.prefix_tokens = wanted.prefix_tokens;
  request.constraints = wanted.constraints;
  request.diversity_ids = wanted.diversity_ids;
  request.sentence_ids = wanted.sentence_ids;
  request.allowed_tokens = wanted.allowed_tokens;
  request.start_token = wanted.start_token;
  request.attention = wanted.attention;
  request.random = wanted.random;
  request.cancelled = is_cancelled;
  return request;
}

SentenceResult result_of(std::vector<search::FinishedHypothesis> finished, std::int64_t nbest) {
  SentenceResult result;
  for (search::FinishedHypothesis& one : finished) {
    if (ssize(result.hypotheses.size()) == nbest) break;
    result.hypotheses.push_back({std::move(one.tokens),
                                 one.score,
                                 std::move(one.positional_scores),
                                 {},
                                 std::move(one.attention)});
  }
  return result;
}

}  // namespace

std::vector<SentenceResult> Generator::Impl::run(
    const SourceBatch& batch, std::int64_t nbest,
    const std::function<search::DecodeResult(StepModel&)>& decode) const {
  TimedModel model(*loaded.model);
  const auto begin = std::chrono::steady_clock::now();
  search::DecodeResult decoded;
  try {
    decoded = decode(model);
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kOutOfMemory, "not enough memory for a batch of ", batch.sentences.size(),
         " sentences padded to ", batch.padded_length, " tokens; use a smaller --batch-size");
  }
  const double seconds = seconds_since(begin);
  std::vector<SentenceResult> results;
  for (auto& finished : decoded.sentences) results.push_back(result_of(std::move(finished), nbest));
  const std::lock_guard<std::mutex> lock(mutex);
  counters.sentences += ssize(batch.sentences.size());
  for (const auto& sentence : batch.sentences) counters.source_tokens += ssize(sentence.size());
  for (const SentenceResult& result : results) {
    if (result.hypotheses.empty()) continue;
    counters.generated_tokens += ssize(result.hypotheses.front().tokens.size());
  }
  counters.steps += decoded.counters.steps;
  counters.decoder_rows += decoded.counters.rows;
  counters.encode_seconds += model.encode_seconds();
  counters.decode_seconds += seconds - model.encode_seconds();
  return results;
}

std::vector<SentenceResult> Generator::generate(const GenerateRequest& wanted,
                                                const SearchOptions& options) const {
  search::DecodeRequest request = decode_request(wanted, options, impl_->loaded.info.special);
  device::DeviceModel* on_device = impl_->loaded.on_device;
  if (refills(wanted, options)) {
    request.places = wanted.places;
    request.source_tokens = wanted.source_tokens;
    if (wanted.finished) {
      request.finished = [&](std::int64_t s, const std::vector<search::FinishedHypothesis>& all) {
        wanted.finished(s, result_of(all, options.nbest));
      };
    }
  }
  return impl_->run(wanted.batch, options.nbest, [&](StepModel& model) {
    if (on_device != nullptr && on_device->decodes(request)) return on_device->decode(request);
    return search::decode(model, request);
  });
}

bool Generator::refills(const GenerateRequest& wanted, const SearchOptions& options) const {
  const device::DeviceModel* on_device = impl_->loaded.on_device;
  return on_device != nullptr && wanted.prefix_tokens.empty() &&
         on_device->decodes(decode_request(wanted, options, impl_->loaded.info.special));
}

std::int64_t Generator::predict_memory(std::span<const std::int64_t> source_lengths,
                                       std::int64_t padded_length,
                                       const SearchOptions& options) const {
  const ModelInfo& info = impl_->loaded.info;
  const std::int64_t beam = std::min(options.beam, info.target_vocab_size - 1);
  const std::int64_t rows = checked_mul(ssize(source_lengths.size()), beam);
  std::int64_t longest = padded_length;
  if (options.strategy == Strategy::kLengthConstrained) {
    longest = 0;  // outputs are as long as the sources at most
    for (const std::int64_t length : source_lengths) longest = std::max(longest, length);
  }
  SearchOptions lengths = options;
  if (options.strategy == Strategy::kLengthConstrained) lengths.max_len_a = 1;
  const std::int64_t steps =
      search::max_target_length(lengths, longest, info.max_target_positions) + 1;
  std::int64_t bytes =
      checked_mul(checked_mul(rows, info.target_vocab_size), std::int64_t{sizeof(float)});
  for (const model::Transformer* native : impl_->loaded.native) {
    bytes = checked_add(bytes, native->plan_memory(source_lengths, beam, steps).total());
  }
  return bytes;
}

std::vector<SentenceResult> Generator::score(const ScoreRequest& wanted) const {
  search::ScoreTargets request;
  request.batch = &wanted.batch;
  request.special = impl_->loaded.info.special;
  request.targets = wanted.targets;
  request.inputs = wanted.inputs;
  request.start_token = wanted.start_token;
  request.attention = wanted.attention;
  request.cancelled = is_cancelled;
  return impl_->run(wanted.batch, 1, [&](StepModel& model) {
    StepModel* const models[] = {&model};
    return search::score_targets(models, request);
  });
}

std::vector<SentenceResult> Generator::alternatives(const GenerateRequest& wanted,
                                                    const SearchOptions& options,
                                                    std::int64_t count) const {
  const search::DecodeRequest request = decode_request(wanted, options, impl_->loaded.info.special);
  return impl_->run(wanted.batch, count, [&](StepModel& model) {
    return search::decode_alternatives(model, request, count);
  });
}

std::vector<SentenceResult> Generator::translate(const std::vector<std::string>& lines,
                                                 const SearchOptions& options) const {
  GenerateRequest request;
  SourceBatch& batch = request.batch;
  for (const std::string& line : lines) {
    batch.sentences.push_back(encode_source(line));
    batch.padded_length = std::max(batch.padded_length, ssize(batch.sentences.back().size()));
  }
  if (lines.empty()) return {};
  std::vector<SentenceResult> results = generate(request, options);
  for (SentenceResult& result : results) {
    for (Hypothesis& hypothesis : result.hypotheses)
      hypothesis.text = decode_target(hypothesis.tokens);
  }
  return results;
}

std::vector<std::int64_t> Generator::encode_source(std::string_view line) const {
  ELBEAM_CHECK(impl_->loaded.source.has_value(), ErrorCode::kUsage,
               "no source dictionary: set LoadOptions::source_dictionary_path");
  return impl_->loaded.source->encode_line(line);
}

std::string Generator::decode_target(const std::vector<std::int64_t>& tokens) const {
  ELBEAM_CHECK(impl_->loaded.target.has_value(), ErrorCode::kUsage,
               "no target dictionary: set LoadOptions::target_dictionary_path");
  return impl_->loaded.target->string(tokens, /*escape_unk=*/false,
                                      {impl_->loaded.info.special.pad});
}

const ModelInfo& Generator::model_info() const { return impl_->loaded.info; }

Statistics Generator::statistics() const {
  Statistics result;
  {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    result = impl_->counters;
  }
  if (impl_->loaded.native.empty()) return result;
  result.isa = kernels::isa_name(kernels::active_isa());
  for (const model::Transformer* native : impl_->loaded.native) {
    const model::CacheReport report = native->cache_report();
    if (native == impl_->loaded.native.front()) {
      result.cross_attention = attention::kind_name(report.cross_kind);
      result.self_attention = attention::kind_name(report.self_kind);
    }
    result.encoded_sentences += report.encoded_sentences;
    result.selected_tokens = std::max(result.selected_tokens, report.selected_tokens);
    result.cross_cache_bytes += report.cross_bytes;
    result.self_cache_bytes += report.self_bytes;
    result.cross_cache_bytes_mha_copied += report.cross_bytes_copied;
    result.cross_cache_bytes_mha_shared += report.cross_bytes_shared;
    result.cross_cache_bytes_el += report.cross_bytes_el;
  }
  return result;
}

}  // namespace elbeam
