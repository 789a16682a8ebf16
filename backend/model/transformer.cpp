#include "model/transformer.hpp"

#include "attention/planner.hpp"
#include "base/check.hpp"
#include "model/decoder.hpp"
#include "model/encoder.hpp"

#include <algorithm>
#include <mutex>

namespace elbeam::model {
namespace {

using attention::Kind;

template <typename T>
class NativeTransformer;

// Incremental state of one batch.
template <typename T>
class NativeState : public DecodeState {
 public:
  NativeState(const NativeTransformer<T>& model, const SourceBatch& batch,
              const DecodeShape& shape);
  ~NativeState() override;
  NativeState(const NativeState&) = delete;
  NativeState& operator=(const NativeState&) = delete;

  void step(const StepInput& input, const StepOutput& output) override;

 private:
  void follow_parents(std::span<const std::int64_t> parents);
  void write_log_probs(std::int64_t rows, T* logits, std::span<float> log_probs);

  const NativeTransformer<T>& model_;
  DecodeShape shape_;
  attention::EncoderOut<T> encoder_out_;
  std::vector<attention::CrossKeysValues<T>> keys_values_;  // empty: EL-attention
  attention::SelfCache<T> cache_;
  typename Decoder<T>::Scratch scratch_;
  AlignedBuffer<T> logits_;
  std::vector<std::int64_t> sentence_of_row_;
  std::vector<std::int64_t> next_sentence_of_row_;
  std::vector<attention::SentenceRows> live_;
};

template <typename T>
class NativeTransformer : public Transformer {
 public:
  NativeTransformer(const std::shared_ptr<const archive::Checkpoint>& checkpoint,
                    const TransformerConfig& config, const TransformerOptions& options)
      : options_(options),
        pool_(options.threads),
        reader_(checkpoint),
        encoder_(reader_, config),
        decoder_(reader_, config, encoder_.dim()),
        self_kind_(options.attention == Attention::kEl ? Kind::kEl : Kind::kMha) {
    decoder_.prepare_self(self_kind_);
    // What a forced kind needs is packed once here; the planner's choice on first use.
    if (options.attention != Attention::kAuto) decoder_.prepare_cross(self_kind_);
  }

  std::int64_t vocab_size() const override { return decoder_.vocab_size(); }
  std::int64_t source_vocab_size() const override { return encoder_.vocab_size(); }
  std::int64_t max_decoder_positions() const override { return decoder_.max_positions(); }
  std::int64_t max_source_positions() const override { return encoder_.max_positions(); }

  CacheReport cache_report() const override {
    const std::lock_guard<std::mutex> lock(report_mutex_);
    return report_;
  }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    ELBEAM_CHECK(!batch.sentences.empty(), ErrorCode::kModel, "the batch has no sentences");
    ELBEAM_CHECK(shape.beam >= 1 && shape.max_steps >= 1 && shape.temperature > 0.0,
                 ErrorCode::kUsage, "decode shape: beam, steps and temperature must be positive");
    return std::make_unique<NativeState<T>>(*this, batch, shape);
  }

  // Chooses the cross-attention of a batch and packs what it needs.
  Kind plan_cross(const attention::Shape& shape) const {
    Kind kind = options_.attention == Attention::kEl ? Kind::kEl : Kind::kMha;
    if (options_.attention == Attention::kAuto) {
      kind = attention::plan_cross(shape, sizeof(T));
      std::call_once(kind == Kind::kEl ? el_packed_ : mha_packed_,
                     [&] { decoder_.prepare_cross(kind); });
    }
    return kind;
  }

  void record(const attention::Shape& shape, Kind cross, std::int64_t cross_bytes) const {
    const auto el = static_cast<std::int64_t>(predict_cross_el(shape, sizeof(T)).cache_bytes);
    const std::lock_guard<std::mutex> lock(report_mutex_);
    if (el < report_.cross_bytes_el) return;
    report_.cross_kind = cross;
    report_.self_kind = self_kind_;
    report_.cross_bytes = cross_bytes;
    report_.cross_bytes_el = el;
    report_.cross_bytes_shared =
        static_cast<std::int64_t>(predict_cross_mha(shape, sizeof(T)).cache_bytes);
    report_.cross_bytes_copied =
        static_cast<std::int64_t>(cross_cache_bytes_copied(shape, sizeof(T)));
  }
  void record_self(std::int64_t bytes) const {
    const std::lock_guard<std::mutex> lock(report_mutex_);
    report_.self_bytes = std::max(report_.self_bytes, bytes);
  }

  const Encoder<T>& encoder() const { return encoder_; }
  const Decoder<T>& decoder() const { return decoder_; }
  Kind self_kind() const { return self_kind_; }
  ThreadPool& pool() const { return pool_; }

 private:
  TransformerOptions options_;
  mutable ThreadPool pool_;
  TensorReader<T> reader_;
  Encoder<T> encoder_;
  mutable Decoder<T> decoder_;  // packs cross-attention weights on first use, under call_once
  Kind self_kind_;
  mutable std::once_flag el_packed_;
  mutable std::once_flag mha_packed_;
  mutable std::mutex report_mutex_;
  mutable CacheReport report_;
};

template <typename T>
NativeState<T>::NativeState(const NativeTransformer<T>& model, const SourceBatch& batch,
                            const DecodeShape& shape)
    : model_(model),
      shape_(shape),
      encoder_out_(model.encoder().encode(batch, model.pool())),
      cache_(model.decoder().layers(),
             attention::self_cache_width(model.self_kind(), model.decoder().dim()),
             checked_mul(ssize(batch.sentences.size()), shape.beam)) {
  const Decoder<T>& decoder = model.decoder();
  attention::Shape plan;
  plan.layers = decoder.layers();
  plan.heads = decoder.heads();
  plan.dim = decoder.dim();
  plan.key_dim = encoder_out_.dim;
  plan.beam = shape.beam;
  plan.sentences = encoder_out_.sentences();
  plan.source_tokens = encoder_out_.offsets.back();
  // Outputs are about as long as their sources unless the options cut them off earlier.
  plan.expected_steps = std::min(shape.max_steps, plan.source_tokens / plan.sentences + 1);
  const Kind kind = model.plan_cross(plan);
  std::int64_t bytes = encoder_out_.hidden.bytes();
  if (kind == Kind::kMha) {
    keys_values_ = decoder.build_keys_values(encoder_out_, model.pool());
    encoder_out_.hidden = AlignedBuffer<T>();  // keys and values are all that is read from now on
    bytes = 0;
    for (const auto& layer : keys_values_) bytes += layer.bytes();
  }
  model.record(plan, kind, bytes);
}

template <typename T>
NativeState<T>::~NativeState() {
  model_.record_self(cache_.bytes());
}

template <typename T>
void NativeState<T>::follow_parents(std::span<const std::int64_t> parents) {
  const bool first = cache_.steps() == 0;
  const std::int64_t bound = first ? encoder_out_.sentences() : ssize(sentence_of_row_.size());
  next_sentence_of_row_.clear();
  live_.clear();
  for (std::int64_t row = 0; row < ssize(parents.size()); ++row) {
    const std::int64_t parent = parents[usize(row)];
    ELBEAM_INVARIANT(parent >= 0 && parent < bound);
    const std::int64_t sentence = first ? parent : sentence_of_row_[usize(parent)];
    ELBEAM_INVARIANT(live_.empty() || sentence >= live_.back().sentence);
    if (live_.empty() || live_.back().sentence != sentence) live_.push_back({sentence, row, 0});
    ++live_.back().rows;
    ELBEAM_INVARIANT(live_.back().rows <= shape_.beam);
    next_sentence_of_row_.push_back(sentence);
  }
  sentence_of_row_.swap(next_sentence_of_row_);
}

template <typename T>
void NativeState<T>::step(const StepInput& input, const StepOutput& output) {
  const std::span<float> log_probs = output.log_probs;
  ELBEAM_CHECK(output.attention.empty(), ErrorCode::kUnsupported,
               "the native engine gives no attention yet");
  const std::int64_t rows = ssize(input.tokens.size());
  const std::int64_t vocabulary = model_.vocab_size();
  ELBEAM_INVARIANT(rows >= 1 && input.parents.size() == input.tokens.size());
  ELBEAM_INVARIANT(cache_.steps() < shape_.max_steps);
  ELBEAM_INVARIANT(ssize(log_probs.size()) >= rows * vocabulary);
  follow_parents(input.parents);
  cache_.begin_step(input.parents);
  T* logits = nullptr;
  if constexpr (std::is_same_v<T, float>) {
    logits = log_probs.data();  // normalised in place
  } else {
    logits_.reserve(checked_mul(rows, vocabulary));
    logits = logits_.data();
  }
  typename Decoder<T>::Step step;
  step.tokens = input.tokens;
  step.self_kind = model_.self_kind();
  step.cache = &cache_;
  step.encoder_out = &encoder_out_;
  step.keys_values = &keys_values_;
  step.live = live_;
  step.logits = logits;
  model_.decoder().step(step, scratch_, model_.pool());
  write_log_probs(rows, logits, log_probs);
}

template <typename T>
void NativeState<T>::write_log_probs(std::int64_t rows, T* logits, std::span<float> log_probs) {
  const std::int64_t vocabulary = model_.vocab_size();
  model_.pool().parallel_for(rows, [&](std::int64_t row) {
    kernels::kernels<T>().log_softmax(logits + row * vocabulary, vocabulary,
                                      static_cast<T>(shape_.temperature),
                                      log_probs.data() + row * vocabulary);
  });
}

}  // namespace

std::unique_ptr<Transformer> load_transformer(std::shared_ptr<const archive::Checkpoint> checkpoint,
                                              const TransformerOptions& options) {
  const TransformerConfig config =
      parse_transformer_config(checkpoint->config(), checkpoint->path());
  if (options.dtype == DType::kFp64) {
    return std::make_unique<NativeTransformer<double>>(checkpoint, config, options);
  }
  return std::make_unique<NativeTransformer<float>>(checkpoint, config, options);
}

}  // namespace elbeam::model
