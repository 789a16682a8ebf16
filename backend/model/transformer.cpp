#include "model/transformer.hpp"

#include "attention/planner.hpp"
#include "base/check.hpp"
#include "model/decoder.hpp"
#include "model/encoder.hpp"
#include "model/pack_cache.hpp"
#include "model/source_sharing.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <utility>

namespace elbeam::model {
namespace {

using attention::Kind;

// Known tokens go through the layers in groups of sentences of about this many, as in the encoder.
constexpr std::size_t kForcedTokens = 512;
constexpr std::int64_t kScoredRows = 64;

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
  bool force(const ForcedInput& input, const ForcedOutput& output) override;

 private:
  void encode(const SourceBatch& batch);
  void follow_parents(std::span<const std::int64_t> parents);
  // A language model has no sources, and nothing reads this number there.
  std::int64_t source_of(std::int64_t sentence) const {
    return source_of_.empty() ? sentence : source_of_[usize(sentence)];
  }
  // Passes of sentences first .. last - 1 of known tokens.
  void force_sentences(const ForcedInput& input, const ForcedOutput& output, std::size_t first,
                       std::size_t last, bool fill_cache);
  void score_forced(const ForcedInput& input, const ForcedOutput& output, std::size_t first,
                    std::span<const std::int64_t> offsets, T* features);
  // log_probs [rows, vocabulary] of features [rows, width].
  void predict(T* features, std::int64_t rows, const StepOutput& output);
  typename Decoder<T>::Pass make_pass(std::span<const std::int64_t> tokens, bool attention);
  // Row r of the mean attention weights, a row of the sentence, as float32.
  void copy_attention(std::int64_t row, std::int64_t sentence, std::span<float> out) const;

  const NativeTransformer<T>& model_;
  DecodeShape shape_;
  std::int64_t sentences_;
  std::int64_t source_width_ = 0;  // tokens of the longest source
  attention::EncoderOut<T> encoder_out_;
  std::vector<attention::CrossKeysValues<T>> keys_values_;  // empty: EL-attention
  attention::SelfCache<T> cache_;
  typename Decoder<T>::Scratch scratch_;
  typename OutputLayer<T>::Scratch output_scratch_;
  AlignedBuffer<T> mean_weights_;  // [rows, source_width_]
  typename OutputLayer<T>::Selection selection_;
  std::vector<std::int64_t> source_of_;  // [sentences] which of encoder_out_'s each one reads
  bool closed_ = false;  // known tokens of several lengths were read: there is no next step
  std::vector<std::int64_t> sentence_of_row_;
  std::vector<std::int64_t> next_sentence_of_row_;
  std::vector<attention::SentenceRows> live_;
};

// Tokens and beam of a sentence whose kind of attention is prepared while a model is loaded.
constexpr std::int64_t kOrdinaryLength = 64, kOrdinaryBeam = 5;

template <typename T>
class NativeTransformer : public Transformer {
 public:
  NativeTransformer(const std::shared_ptr<const archive::Checkpoint>& checkpoint,
                    const ModelFacts& facts, const TransformerOptions& options,
                    std::shared_ptr<kernels::WeightStore<T>> store, bool everything)
      : options_(options),
        architecture_(facts.config.architecture),
        pool_(options.threads),
        reader_(checkpoint, facts.reading, std::move(store)),
        encoder_(make_encoder(reader_, facts.config)),
        decoder_(reader_, facts.config, encoder_ ? encoder_->dim() : 0),
        self_kind_(options.attention == Attention::kEl ? Kind::kEl : Kind::kMha) {
    decoder_.prepare_self(self_kind_);
    // A forced kind, or the one that the planner takes for an ordinary sentence, is packed here:
    // the first request is not to wait for it. Another choice of the planner is packed on first
    // use, or with everything.
    if (options.attention != Attention::kAuto) {
      decoder_.prepare_cross(self_kind_);
    } else if (decoder_.has_cross_attention()) {
      const std::int64_t ordinary[] = {kOrdinaryLength};
      prepare_cross(
          NativeTransformer::plan_memory(ordinary, kOrdinaryBeam, kOrdinaryLength).cross_kind);
    }
    if (everything) {
      decoder_.prepare_forced();
      for (const Kind kind : {Kind::kMha, Kind::kEl}) {
        if (options.attention == Attention::kAuto) prepare_cross(kind);
      }
    }
    report_.self_kind = self_kind_;
  }

  const std::string& architecture() const override { return architecture_; }
  std::int64_t vocab_size() const override { return decoder_.vocab_size(); }
  std::int64_t source_vocab_size() const override {
    return encoder_ ? encoder_->vocab_size() : decoder_.vocab_size();
  }
  std::int64_t max_decoder_positions() const override { return decoder_.max_positions(); }
  bool has_encoder() const override { return encoder_ != nullptr; }
  std::int64_t max_source_positions() const override {
    return encoder_ ? encoder_->max_positions() : decoder_.max_positions();
  }

  CacheReport cache_report() const override {
    const std::lock_guard<std::mutex> lock(report_mutex_);
    return report_;
  }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    ELBEAM_CHECK(!batch.sentences.empty(), ErrorCode::kModel, "the batch has no sentences");
    ELBEAM_CHECK(shape.beam >= 1 && shape.max_steps >= 1 && shape.temperature > 0.0,
                 ErrorCode::kUsage, "decode shape: beam, steps and temperature must be positive");
    ELBEAM_CHECK(!shape.attention || decoder_.has_cross_attention(), ErrorCode::kUnsupported,
                 "attention to the source was asked for, and a model of architecture ",
                 architecture_, " does not attend to one");
    return std::make_unique<NativeState<T>>(*this, batch, shape);
  }

  void prepare_forced() const {
    std::call_once(forced_packed_, [&] { decoder_.prepare_forced(); });
  }

  attention::BatchMemory plan_memory(std::span<const std::int64_t> source_lengths,
                                     std::int64_t beam, std::int64_t steps) const override {
    attention::MemoryRequest request;
    request.shape = shape_of(source_lengths, beam, steps);
    request.source_lengths = source_lengths;
    request.self_kind = self_kind_;
    request.max_steps = steps;
    request.element_bytes = sizeof(T);
    request.lanes = kernels::kernels<T>().lanes;
    if (!decoder_.has_cross_attention()) {
      request.shape.key_dim = 0;
      return batch_memory(request, Kind::kEl);
    }
    if (options_.attention != Attention::kAuto) {
      return batch_memory(request, options_.attention == Attention::kEl ? Kind::kEl : Kind::kMha);
    }
    const std::int64_t log_probs = checked_mul(checked_mul(ssize(source_lengths.size()), beam),
                                               vocab_size() * std::int64_t{sizeof(float)});
    // At least one byte: 0 means no limit.
    const std::int64_t left = options_.memory_limit == 0
                                  ? 0
                                  : std::max<std::int64_t>(1, options_.memory_limit - log_probs);
    return plan_batch(request, left);
  }

  attention::Shape shape_of(std::span<const std::int64_t> source_lengths, std::int64_t beam,
                            std::int64_t steps) const {
    attention::Shape shape;
    shape.layers = decoder_.layers();
    shape.heads = decoder_.heads();
    shape.dim = decoder_.dim();
    shape.key_dim = encoder_ ? encoder_->dim() : 0;
    shape.beam = beam;
    shape.sentences = ssize(source_lengths.size());
    for (const std::int64_t length : source_lengths) shape.source_tokens += length;
    // Outputs are about as long as their sources unless the options cut them off earlier.
    shape.expected_steps =
        std::min(steps, shape.source_tokens / std::max<std::int64_t>(1, shape.sentences) + 1);
    return shape;
  }

  // Packs what a kind of cross-attention needs, once.
  void prepare_cross(Kind kind) const {
    if (options_.attention != Attention::kAuto) return;
    std::call_once(kind == Kind::kEl ? el_packed_ : mha_packed_,
                   [&] { decoder_.prepare_cross(kind); });
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
        static_cast<std::int64_t>(predict_cross_mha(copied(shape), sizeof(T)).cache_bytes);
  }
  void record_encoded(std::int64_t sentences) const {
    const std::lock_guard<std::mutex> lock(report_mutex_);
    report_.encoded_sentences += sentences;
  }
  void record_selected(std::int64_t tokens) const {
    const std::lock_guard<std::mutex> lock(report_mutex_);
    report_.selected_tokens = std::max(report_.selected_tokens, tokens);
  }
  void record_self(std::int64_t bytes) const {
    const std::lock_guard<std::mutex> lock(report_mutex_);
    report_.self_bytes = std::max(report_.self_bytes, bytes);
  }

  const Encoder<T>* encoder() const { return encoder_.get(); }
  const Decoder<T>& decoder() const { return decoder_; }
  const TransformerOptions& options() const { return options_; }
  Kind self_kind() const { return self_kind_; }
  ThreadPool& pool() const { return pool_; }

 private:
  static std::unique_ptr<const Encoder<T>> make_encoder(TensorReader<T>& reader,
                                                        const TransformerConfig& config) {
    return config.has_encoder ? std::make_unique<const Encoder<T>>(reader, config) : nullptr;
  }

  TransformerOptions options_;
  std::string architecture_;
  mutable ThreadPool pool_;
  TensorReader<T> reader_;
  std::unique_ptr<const Encoder<T>> encoder_;  // a language model has none
  mutable Decoder<T> decoder_;  // packs some attention weights on first use, under call_once
  Kind self_kind_;
  mutable std::once_flag el_packed_;
  mutable std::once_flag mha_packed_;
  mutable std::once_flag forced_packed_;
  mutable std::mutex report_mutex_;
  mutable CacheReport report_;
};

template <typename T>
NativeState<T>::NativeState(const NativeTransformer<T>& model, const SourceBatch& batch,
                            const DecodeShape& shape)
    : model_(model),
      shape_(shape),
      sentences_(ssize(batch.sentences.size())),
      cache_(model.decoder().layers(),
             attention::self_cache_width(model.self_kind(), model.decoder().dim()),
             checked_mul(sentences_, shape.beam)) {
  for (const auto& sentence : batch.sentences)
    source_width_ = std::max(source_width_, ssize(sentence.size()));
  if (const VocabularySelection* selection = model.options().selection.get()) {
    selection_ = model.decoder().output().select(selection->tokens_for(batch, shape.needed_tokens));
    model.record_selected(ssize(selection_.tokens.size()));
  }
  if (model.encoder() != nullptr) encode(batch);
}

template <typename T>
void NativeState<T>::encode(const SourceBatch& batch) {
  DistinctSources sources = distinct_sources(batch, model_.options().share_sources);
  source_of_ = std::move(sources.of_sentence);
  encoder_out_ = model_.encoder()->encode(sources.batch, model_.pool());
  model_.record_encoded(ssize(sources.batch.sentences.size()));
  const Decoder<T>& decoder = model_.decoder();
  if (!decoder.has_cross_attention()) return;
  std::vector<std::int64_t> lengths;
  for (const auto& sentence : batch.sentences) lengths.push_back(ssize(sentence.size()));
  const Kind kind = model_.plan_memory(lengths, shape_.beam, shape_.max_steps).cross_kind;
  model_.prepare_cross(kind);
  std::int64_t bytes = encoder_out_.hidden.bytes();
  if (kind == Kind::kMha) {
    keys_values_ = decoder.build_keys_values(encoder_out_, model_.pool());
    encoder_out_.hidden = AlignedBuffer<T>();  // keys and values are all that is read from now on
    bytes = 0;
    for (const auto& layer : keys_values_) bytes += layer.bytes();
  }
  model_.record(model_.shape_of(lengths, shape_.beam, shape_.max_steps), kind, bytes);
}

template <typename T>
NativeState<T>::~NativeState() {
  model_.record_self(cache_.bytes());
}

template <typename T>
void NativeState<T>::follow_parents(std::span<const std::int64_t> parents) {
  const bool first = cache_.steps() == 0;
  std::int64_t before = -1;  // sentence of the row before
  const std::int64_t bound = first ? sentences_ : ssize(sentence_of_row_.size());
  next_sentence_of_row_.clear();
  live_.clear();
  for (std::int64_t row = 0; row < ssize(parents.size()); ++row) {
    const std::int64_t parent = parents[usize(row)];
    ELBEAM_INVARIANT(parent >= 0 && parent < bound);
    const std::int64_t sentence = first ? parent : sentence_of_row_[usize(parent)];
    ELBEAM_INVARIANT(sentence >= before);
    if (sentence != before) live_.push_back({source_of(sentence), row, 0});
    before = sentence;
    ++live_.back().rows;
    ELBEAM_INVARIANT(live_.back().rows <= shape_.beam);
    next_sentence_of_row_.push_back(sentence);
  }
  sentence_of_row_.swap(next_sentence_of_row_);
}

template <typename T>
typename Decoder<T>::Pass NativeState<T>::make_pass(std::span<const std::int64_t> tokens,
                                                    bool attention) {
  const std::int64_t rows = ssize(tokens.size());
  typename Decoder<T>::Pass pass;
  pass.tokens = tokens;
  pass.positions = scratch_.positions;
  pass.self_kind = model_.self_kind();
  pass.cache = &cache_;
  pass.encoder_out = &encoder_out_;
  pass.keys_values = &keys_values_;
  pass.live = live_;
  if (attention) {
    ELBEAM_CHECK(shape_.attention, ErrorCode::kUnsupported,
                 "the state was not started for attention");
    mean_weights_.reserve(checked_mul(rows, source_width_));
    pass.mean_weights = mean_weights_.data();
    pass.mean_width = source_width_;
    pass.mean_layer = model_.decoder().layers() - 1;
  }
  return pass;
}

template <typename T>
void NativeState<T>::copy_attention(std::int64_t row, std::int64_t sentence,
                                    std::span<float> out) const {
  ELBEAM_INVARIANT(ssize(out.size()) >= source_width_);
  const T* weights = mean_weights_.data() + row * source_width_;
  const std::int64_t length = encoder_out_.length(source_of(sentence));
  for (std::int64_t t = 0; t < length; ++t) out[usize(t)] = static_cast<float>(weights[t]);
  for (std::int64_t t = length; t < source_width_; ++t) out[usize(t)] = 0.0F;
}

template <typename T>
void NativeState<T>::step(const StepInput& input, const StepOutput& output) {
  const std::int64_t rows = ssize(input.tokens.size());
  ELBEAM_INVARIANT(rows >= 1 && input.parents.size() == input.tokens.size());
  ELBEAM_INVARIANT(!closed_ && cache_.steps() < shape_.max_steps);
  follow_parents(input.parents);
  cache_.begin_step(input.parents);
  scratch_.positions.assign(usize(rows), cache_.steps() - 1);
  const bool attention = !output.attention.empty();
  T* features =
      model_.decoder().features(make_pass(input.tokens, attention), scratch_, model_.pool());
  for (std::int64_t row = 0; attention && row < rows; ++row) {
    copy_attention(row, sentence_of_row_[usize(row)],
                   output.attention.subspan(usize(row * source_width_)));
  }
  predict(features, rows, output);
}

template <typename T>
void NativeState<T>::predict(T* features, std::int64_t rows, const StepOutput& output) {
  const OutputLayer<T>& layer = model_.decoder().output();
  output_scratch_.selection = selection_.tokens.empty() ? nullptr : &selection_;
  layer.apply(features, rows, {shape_.temperature, output.log_probs, output.bounds},
              output_scratch_, model_.pool());
}

template <typename T>
bool NativeState<T>::force(const ForcedInput& input, const ForcedOutput& output) {
  ELBEAM_CHECK(ssize(input.tokens.size()) == sentences_, ErrorCode::kUsage, "known tokens of ",
               input.tokens.size(), " sentences for a batch of ", sentences_);
  ELBEAM_INVARIANT(cache_.steps() == 0 && !closed_);
  const std::size_t length = input.tokens.front().size();
  bool even = true;
  for (std::size_t s = 0; s < input.tokens.size(); ++s) {
    even = even && input.tokens[s].size() == length;
    ELBEAM_CHECK(ssize(input.tokens[s].size()) <= shape_.max_steps, ErrorCode::kUsage,
                 "known tokens of sentence ", s, ": expected at most ", shape_.max_steps, ", got ",
                 input.tokens[s].size());
  }
  closed_ = !even;
  model_.prepare_forced();
  if (even) {
    cache_.begin_steps(ssize(length), sentences_);
    sentence_of_row_.resize(usize(sentences_));
    std::iota(sentence_of_row_.begin(), sentence_of_row_.end(), std::int64_t{0});
  }
  for (std::size_t first = 0; first < input.tokens.size();) {
    std::size_t last = first + 1;
    std::size_t tokens = input.tokens[first].size();
    while (last < input.tokens.size() && tokens + input.tokens[last].size() <= kForcedTokens)
      tokens += input.tokens[last++].size();
    force_sentences(input, output, first, last, even);
    first = last;
  }
  return true;
}

template <typename T>
void NativeState<T>::force_sentences(const ForcedInput& input, const ForcedOutput& output,
                                     std::size_t first, std::size_t last, bool fill_cache) {
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> offsets{0};
  scratch_.positions.clear();
  live_.clear();
  for (std::size_t s = first; s < last; ++s) {
    const auto& sentence = input.tokens[s];
    live_.push_back({source_of(ssize(s)), offsets.back(), ssize(sentence.size())});
    tokens.insert(tokens.end(), sentence.begin(), sentence.end());
    for (std::int64_t p = 0; p < ssize(sentence.size()); ++p) scratch_.positions.push_back(p);
    offsets.push_back(ssize(tokens.size()));
  }
  const bool attention = !output.attention.empty();
  typename Decoder<T>::Pass pass = make_pass(tokens, attention);
  pass.offsets = offsets;
  pass.cache = fill_cache ? &cache_ : nullptr;
  pass.first_cache_row = ssize(first);
  T* features = model_.decoder().features(pass, scratch_, model_.pool());
  for (std::size_t s = first; attention && s < last; ++s) {
    for (std::int64_t t = 0; t < ssize(input.tokens[s].size()); ++t) {
      copy_attention(offsets[s - first] + t, ssize(s),
                     output.attention[s].subspan(usize(t * source_width_)));
    }
  }
  score_forced(input, output, first, offsets, features);
}

// The output layer over kScoredRows rows at a time: log-probabilities of all positions at once
// would be tokens x vocabulary numbers.
template <typename T>
void NativeState<T>::score_forced(const ForcedInput& input, const ForcedOutput& output,
                                  std::size_t first, std::span<const std::int64_t> offsets,
                                  T* features) {
  const std::int64_t width = model_.decoder().features_dim();
  const std::int64_t vocabulary = model_.decoder().vocab_size();
  if (input.targets.empty()) {  // last positions only
    for (std::size_t i = 0; i + 1 < offsets.size() && !output.last_log_probs.empty(); ++i) {
      predict(features + (offsets[i + 1] - 1) * width, 1,
              {output.last_log_probs.subspan((first + i) * usize(vocabulary))});
    }
    return;
  }
  const std::int64_t rows = offsets.back();
  AlignedBuffer<float> log_probs(checked_mul(std::min(rows, kScoredRows), vocabulary));
  std::size_t sentence = 0;  // of row `begin + r`, counted from `first`
  for (std::int64_t begin = 0; begin < rows; begin += kScoredRows) {
    const std::int64_t count = std::min(kScoredRows, rows - begin);
    predict(features + begin * width, count, {{log_probs.data(), usize(count * vocabulary)}});
    for (std::int64_t r = 0; r < count; ++r) {
      while (begin + r >= offsets[sentence + 1]) ++sentence;
      const std::size_t position = usize(begin + r - offsets[sentence]);
      const float* line = log_probs.data() + r * vocabulary;
      output.target_log_probs[first + sentence][position] =
          line[input.targets[first + sentence][position]];
      if (!output.last_log_probs.empty() && begin + r + 1 == offsets[sentence + 1]) {
        std::copy_n(line, vocabulary,
                    output.last_log_probs.subspan((first + sentence) * usize(vocabulary)).begin());
      }
    }
  }
}

template <typename T>
std::unique_ptr<Transformer> build_native(const std::shared_ptr<const archive::Checkpoint>& file,
                                          const ModelFacts& facts,
                                          const TransformerOptions& options) {
  const auto build = [&](std::shared_ptr<kernels::WeightStore<T>> store, bool everything) {
    return std::make_unique<NativeTransformer<T>>(file, facts, options, std::move(store),
                                                  everything);
  };
  if (options.pack_cache) return build_with_pack_cache<T>(*file, options, build);
  file->check_numbers();
  return build(std::make_shared<kernels::WeightStore<T>>(), false);
}

}  // namespace

std::unique_ptr<Transformer> load_transformer(std::shared_ptr<const archive::Checkpoint> checkpoint,
                                              const TransformerOptions& options) {
  const ModelFacts facts = model_facts(*checkpoint, options);
  ELBEAM_CHECK(options.selection == nullptr || facts.config.has_encoder ||
                   !options.selection->needs_sources(),
               ErrorCode::kUsage, checkpoint->path(),
               ": --lexical-shortlist translates sources, and a language model has none");
  return options.dtype == DType::kFp64 ? build_native<double>(checkpoint, facts, options)
                                       : build_native<float>(checkpoint, facts, options);
}

}  // namespace elbeam::model
