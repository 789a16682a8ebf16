#include "device/device_model.hpp"

#include "attention/planner.hpp"
#include "base/check.hpp"
#include "device/device_search.hpp"
#include "device/device_state.hpp"
#include "device/encoder.hpp"
#include "device/run_places.hpp"
#include "search/decode_plan.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <span>

namespace elbeam::device {
namespace {

using attention::Kind;

// What a batch may take of the memory that is free: the rest is for fragments and for the kernels'
// own needs.
constexpr double kUsableMemory = 0.95;

template <typename T>
class Model : public DeviceModel {
 public:
  Model(const archive::Checkpoint& checkpoint, const model::ModelFacts& facts,
        const model::TransformerOptions& options, std::shared_ptr<Device> device, Reader& reader)
      : options_(options), architecture_(facts.config.architecture), device_(std::move(device)) {
    std::int64_t bytes = 0;
    for (const auto& [name, view] : checkpoint.tensors())
      bytes = checked_add(bytes, checked_mul(view.element_count(), ssize(sizeof(T))));
    ELBEAM_CHECK(bytes <= device_->free_bytes(), ErrorCode::kOutOfMemory, checkpoint.path(),
                 ": its weights need about ", bytes, " bytes on ", device_->properties().name,
                 ", which has ", device_->free_bytes(), " free");
    if (facts.config.has_encoder)
      encoder_ = load_stack<T>(*device_, reader, facts.config, "encoder", 0);
    decoder_ = load_stack<T>(*device_, reader, facts.config, "decoder",
                             facts.config.cross_attention ? encoder_.dim : 0);
    output_ = load_output<T>(*device_, reader, decoder_.dim);
    ELBEAM_CHECK(output_.outputs == decoder_.vocab, ErrorCode::kModel, checkpoint.path(),
                 ": the output layer has ", output_.outputs, " tokens, decoder.embed_tokens has ",
                 decoder_.vocab);
  }

  const Device& device() const override { return *device_; }
  const std::string& architecture() const override { return architecture_; }
  std::int64_t source_vocab_size() const override {
    return has_encoder() ? encoder_.vocab : decoder_.vocab;
  }
  std::int64_t vocab_size() const override { return decoder_.vocab; }
  std::int64_t max_decoder_positions() const override { return decoder_.max_positions; }
  bool has_encoder() const override { return encoder_.dim != 0; }
  std::int64_t max_source_positions() const override {
    return has_encoder() ? encoder_.max_positions : decoder_.max_positions;
  }
  model::CacheReport cache_report() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return report_;
  }

  attention::BatchMemory plan_memory(std::span<const std::int64_t> source_lengths,
                                     std::int64_t beam, std::int64_t steps) const override {
    attention::MemoryRequest request;
    request.shape.layers = ssize(decoder_.layers.size());
    request.shape.heads = decoder_.heads;
    request.shape.dim = decoder_.dim;
    request.shape.key_dim = encoder_.dim;
    request.shape.beam = beam;
    request.shape.sentences = ssize(source_lengths.size());
    for (const std::int64_t length : source_lengths)
      request.shape.source_tokens = checked_add(request.shape.source_tokens, length);
    if (!source_lengths.empty()) {
      request.shape.expected_steps =
          std::min(steps, request.shape.source_tokens / request.shape.sentences + 1);
    }
    request.source_lengths = source_lengths;
    request.self_kind = self_kind();
    request.max_steps = steps;
    request.element_bytes = sizeof(T);
    if (options_.attention == Attention::kAuto && has_encoder())
      return plan_batch(request, options_.memory_limit);
    return batch_memory(
        request, options_.attention == Attention::kMha && has_encoder() ? Kind::kMha : Kind::kEl);
  }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    ELBEAM_CHECK(!batch.sentences.empty(), ErrorCode::kModel, "the batch has no sentences");
    ELBEAM_CHECK(!shape.attention, ErrorCode::kUnsupported,
                 "attention to the source (alignments, --coverage-penalty) is not computed on a "
                 "device; use --device cpu");
    const SourceShape source = source_shape(batch, ssize(batch.sentences.size()), 0);
    const RunShape run = run_shape(batch, source, shape.beam, shape.max_steps);
    check_memory(run, run_bytes(decoder_, run, source.tokens));
    return std::make_unique<DeviceState<T>>(*device_, decoder_, make_run(batch, run, source),
                                            shape.temperature,
                                            [this](const DecodeRun<T>& done) { record(done); });
  }

  bool decodes(const search::DecodeRequest& request) const override {
    const SearchOptions& o = request.options;
    const bool plain_rules = o.patience == 1.0 && o.coverage_penalty == 0.0 &&
                             o.repetition_penalty == 1.0 && o.suppressed_sequences.empty() &&
                             !o.early_stopping && !o.heuristic_stopping;
    // Small vocabularies could have fewer tokens that may follow than candidates are wanted.
    const bool enough_tokens =
        vocab_size() >
        2 * o.beam + 4 + (o.no_repeat_ngram_size > 0 ? max_decoder_positions() : std::int64_t{0});
    const bool draws =
        o.strategy == Strategy::kSampling && o.counter_draws && request.prefix_tokens.empty();
    return (draws || (o.strategy == Strategy::kBeam && enough_tokens)) && plain_rules &&
           !request.attention && o.beam <= kernels::kMaxDeviceBeam;
  }

  search::DecodeResult decode(const search::DecodeRequest& request) override {
    const search::DecodePlan plan = search::make_plan(*this, request);
    if (plan.sentences == 0) return {};
    std::optional<SearchStart> start = plan_start(request, plan);
    if (!start) return search::decode(*this, request);
    const SourceBatch& batch = *request.batch;
    const SourceShape source = source_shape(batch, plan.places, request.source_tokens);
    RunShape shape = run_shape(batch, source, plan.beam, start->steps);
    shape.prompt_tokens = ssize(start->prompts.tokens.size());
    shape.longest_prompt = start->longest_prompt;
    ELBEAM_INVARIANT(shape.prompt_tokens == 0 || plan.places == plan.sentences);
    // Sentences that begin later are encoded while others are decoded.
    const std::int64_t encoded =
        plan.places == plan.sentences || !has_encoder()
            ? 0
            : checked_mul(encoder_numbers(encoder_, source.tokens, source.longest),
                          std::int64_t{sizeof(T)});
    check_memory(shape, checked_add(run_bytes(decoder_, shape, source.tokens), encoded));
    {
      DecodeRun<T> run = make_run(batch, shape, source);
      if (start->take(run.read(start->prompts, static_cast<float>(request.options.temperature)),
                      request)) {
        const auto encode_next = [&](std::span<const SourceAt> sentences) {
          if (has_encoder()) encode(Layers<T>(*device_, encoder_), batch, sentences, run.sources());
        };
        search::DecodeResult result =
            DeviceSearch<T>(*device_, run, {request, plan, *start, encode_next}).decode();
        record(run);
        return result;
      }
    }
    return search::decode(*this, request);
  }

 private:
  // Source tokens at once: those of the first sentences; where others wait, those of places that
  // have the longest, or `most`, and as many again for what is encoded ahead.
  SourceShape source_shape(const SourceBatch& batch, std::int64_t places, std::int64_t most) const {
    SourceShape shape;
    shape.places = places;
    if (!has_encoder()) return shape;
    shape.dim = encoder_.dim;
    for (std::int64_t s = 0; s < ssize(batch.sentences.size()); ++s) {
      const std::int64_t length = ssize(batch.sentences[usize(s)].size());
      shape.longest = std::max(shape.longest, length);
      if (s < places) shape.tokens = checked_add(shape.tokens, length);
    }
    if (places == ssize(batch.sentences.size())) return shape;
    const std::int64_t of_longest = checked_mul(places, shape.longest);
    const std::int64_t at_once =
        std::max({shape.tokens, shape.longest, most > 0 ? std::min(most, of_longest) : of_longest});
    shape.tokens = checked_mul(RunPlaces::kRoom, at_once);
    return shape;
  }

  RunShape run_shape(const SourceBatch& batch, const SourceShape& source, std::int64_t beam,
                     std::int64_t max_steps) const {
    std::vector<std::int64_t> lengths;
    for (const auto& sentence : batch.sentences) lengths.push_back(ssize(sentence.size()));
    if (source.places < ssize(lengths.size()))
      lengths.assign(usize(source.places), (source.tokens + source.places - 1) / source.places);
    RunShape shape;
    shape.sentences = source.places;
    shape.beam = beam;
    shape.max_steps = max_steps;
    shape.self_kind = self_kind();
    shape.cross_kind = plan_memory(lengths, beam, max_steps).cross_kind;
    return shape;
  }

  Kind self_kind() const { return options_.attention == Attention::kEl ? Kind::kEl : Kind::kMha; }

  std::int64_t usable() const {
    return static_cast<std::int64_t>(static_cast<double>(device_->free_bytes()) * kUsableMemory);
  }
  void check_memory(const RunShape& shape, std::int64_t bytes) const {
    ELBEAM_CHECK(bytes <= usable(), ErrorCode::kOutOfMemory, "a batch of ", shape.sentences,
                 " sentences with a beam of ", shape.beam, " and up to ", shape.max_steps,
                 " steps needs ", bytes, " bytes on ", device_->properties().name, ", which has ",
                 usable(), " free; use a smaller --batch-size, --beam or --max-len-b");
  }

  // With the sources of the first sentences, one after another.
  DecodeRun<T> make_run(const SourceBatch& batch, const RunShape& shape, SourceShape source) const {
    const Layers<T> decoder(*device_, decoder_);
    source.beam = shape.beam;
    source.kind = shape.cross_kind;
    Sources<T> sources(decoder, source);
    if (has_encoder()) {
      check_sources(encoder_, batch);
      std::vector<SourceAt> first;
      std::vector<PlacedSentence> placed;
      std::int64_t token = 0;
      for (std::int64_t s = 0; s < source.places; ++s) {
        first.push_back({s, token, ssize(batch.sentences[usize(s)].size())});
        placed.push_back({first.back(), s});
        token += first.back().tokens;
      }
      encode(Layers<T>(*device_, encoder_), batch, first, sources);
      sources.place(placed);
    }
    return DecodeRun<T>(decoder, output_, shape, std::move(sources));
  }

  void record(const DecodeRun<T>& run) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    report_.cross_kind = run.shape().cross_kind;
    report_.self_kind = run.shape().self_kind;
    report_.cross_bytes = std::max(report_.cross_bytes, run.sources().bytes());
    report_.self_bytes = std::max(report_.self_bytes, run.self_bytes());
  }

  model::TransformerOptions options_;
  std::string architecture_;
  std::shared_ptr<Device> device_;
  StackWeights<T> encoder_;
  StackWeights<T> decoder_;
  Linear<T> output_;
  mutable std::mutex mutex_;  // guards the report
  mutable model::CacheReport report_;
};

}  // namespace

std::unique_ptr<DeviceModel> load_device_model(
    std::shared_ptr<const archive::Checkpoint> checkpoint, const model::TransformerOptions& options,
    std::shared_ptr<Device> device) {
  ELBEAM_CHECK(options.dtype == DType::kFp32, ErrorCode::kUnsupported,
               "--dtype fp64 is computed on the CPU only; use --device cpu");
  const model::ModelFacts facts = model::model_facts(*checkpoint, options);
  Reader reader(checkpoint, facts.reading);
  if (options.half)
    return std::make_unique<Model<kernels::Half>>(*checkpoint, facts, options, std::move(device),
                                                  reader);
  return std::make_unique<Model<float>>(*checkpoint, facts, options, std::move(device), reader);
}

}  // namespace elbeam::device
