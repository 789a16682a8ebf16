#include "device/device_search.hpp"

#include "base/check.hpp"
#include "kernels/launch_plan.hpp"
#include "search/finished.hpp"
#include "search/multinomial.hpp"

#include <algorithm>
#include <utility>

namespace elbeam::device {
namespace {

// Steps that the host is ahead of what it knows of the device's state.
constexpr std::int64_t kStepsAhead = 1;
// Each warp keeps a list of its own; few warps make few insertions, and where there are few rows
// their logits are shared out to several blocks.
constexpr int kVocabularyThreads = 64;
constexpr int kSampleThreads = 256;

std::vector<SentenceNeeds> needs(const SearchJob& job, bool sources) {
  std::vector<SentenceNeeds> sentences;
  for (std::size_t s = 0; s < job.start.limits.size(); ++s) {
    const kernels::SentenceLimits& limits = job.start.limits[s];
    sentences.push_back({sources ? ssize(job.request.batch->sentences[s].size()) : std::int64_t{0},
                         std::int64_t{limits.max_len} + 1 - limits.prompt});
  }
  return sentences;
}

// The next `count` numbers of a download.
template <typename U>
const U* take(const std::byte*& data, std::int64_t count) {
  const U* const numbers = reinterpret_cast<const U*>(data);
  data += count * ssize(sizeof(U));
  return numbers;
}

}  // namespace

template <typename T>
DeviceSearch<T>::DeviceSearch(Device& device, DecodeRun<T>& run, SearchJob job)
    : device_(device),
      run_(run),
      job_(std::move(job)),
      plan_(job_.plan),
      places_(plan_.places, run.sources().tokens(), needs(job_, run.sources().any())),
      candidates_(2 * plan_.beam),
      vocabulary_parts_(std::clamp<std::int64_t>(
          2 * device.properties().limits.multiprocessors / plan_.max_rows, 1, 8)),
      banned_stride_(plan_.max_len + 1),
      draws_(job_.request.options.strategy == Strategy::kSampling) {
  const search::DecodeRequest& request = job_.request;
  result_.sentences.resize(usize(plan_.sentences));
  make_buffers();
  rules_.pad = narrow(request.special.pad);
  rules_.eos = narrow(request.special.eos);
  rules_.unk = narrow(request.special.unk);
  rules_.min_len = narrow(std::clamp<std::int64_t>(request.options.min_len, 0, plan_.max_len));
  rules_.unk_penalty = static_cast<float>(request.options.unk_penalty);
  rules_.temperature = static_cast<float>(request.options.temperature);
  rules_.limits = limits_.data();
  rules_.sentence_of = sentence_of_.data();
  set_prompts();
  const kernels::StepState state{0, 0, 0, 1};
  device_.upload(run_.rows().state.data(), &state, sizeof state);
}

template <typename T>
void DeviceSearch<T>::make_buffers() {
  const std::int64_t rows = plan_.max_rows;
  const std::int64_t places = plan_.places;
  const std::int64_t steps = job_.start.steps + 1;
  const std::int64_t lists = checked_mul(rows, vocabulary_parts_);
  const auto make = [&](auto& buffer, std::int64_t count) {
    buffer = std::remove_reference_t<decltype(buffer)>(device_, count);
  };
  make(history_tokens_, checked_mul(rows, steps));
  make(history_scores_, rows * steps);
  if (job_.request.options.no_repeat_ngram_size > 0)
    make(banned_, checked_mul(rows, banned_stride_));
  make(stats_, 2 * lists);
  make(values_, checked_mul(lists, candidates_));
  make(tokens_of_values_, lists * candidates_);
  for (auto* buffer : {&scores_, &survivors_score_, &finished_score_}) make(*buffer, rows);
  for (auto* buffer :
       {&dead_, &survivors_parent_, &survivors_token_, &survivors_dead_, &finished_length_}) {
    make(*buffer, rows);
  }
  for (auto* buffer : {&sentence_of_, &survivors_live_, &survivors_sentence_, &scratch_,
                       &finished_count_, &first_tokens_, &admitted_}) {
    make(*buffer, places);
  }
  make(finished_tokens_, checked_mul(rows, job_.start.steps));
  make(finished_scores_, finished_tokens_.size());
  make(limits_, places);
  make(start_scores_, places);
  make(draw_ids_, places);
  of_places_.limits.resize(usize(places));
  of_places_.first_tokens.resize(usize(places));
  of_places_.scores.resize(usize(places));
  of_places_.ids.resize(usize(places));
  if (!draws_) return;
  make(drawn_tokens_, rows);
  make(drawn_log_probs_, rows);
  make(draw_failed_, rows);
  device_.clear(draw_failed_.data(), draw_failed_.bytes());
}

template <typename T>
void DeviceSearch<T>::set_prompts() {
  const Prompts& prompts = job_.start.prompts;
  if (prompts.tokens.empty()) return;
  std::vector<std::int32_t> offsets;
  for (const std::int64_t offset : prompts.offsets) offsets.push_back(narrow(offset));
  prompts_ = Buffer<std::int32_t>(device_, prompts.tokens);
  prompt_offsets_ = Buffer<std::int32_t>(device_, offsets);
}

// Puts sentences behind those that are running.
template <typename T>
void DeviceSearch<T>::admit(std::span<const PlacedSentence> sentences, std::int64_t step) {
  run_.sources().place(sentences);
  std::vector<std::int32_t> admitted;
  for (const auto& [source, place] : sentences) {
    const std::int64_t sentence = source.sentence;
    admitted.push_back(narrow(place));
    kernels::SentenceLimits& limits = of_places_.limits[usize(place)];
    limits = job_.start.limits[usize(sentence)];
    limits.first_step = narrow(step);
    of_places_.first_tokens[usize(place)] = job_.start.first_tokens[usize(sentence)];
    of_places_.scores[usize(place)] = job_.start.scores[usize(sentence)];
    of_places_.ids[usize(place)] = search::sentence_id(job_.request, sentence);
  }
  limits_.set(of_places_.limits);
  first_tokens_.set(of_places_.first_tokens);
  start_scores_.set(of_places_.scores);
  draw_ids_.set(of_places_.ids);
  admitted_.set(admitted);
  device_.search_kernels().admit(
      {run_.rows().state.data(), next_rows(), admitted_.data(), narrow(ssize(admitted.size())),
       first_tokens_.data(), start_scores_.data(), finished_count_.data()},
      row_launch(device_, 1, 256, 0));
}

template <typename T>
kernels::NextRows DeviceSearch<T>::next_rows() const {
  const auto& rows = run_.rows();
  kernels::NextRows next;
  next.tokens = rows.tokens.data();
  next.parents = rows.parents.data();
  next.scores = scores_.data();
  next.dead = dead_.data();
  next.sentence_of = sentence_of_.data();
  next.rows_of = rows.rows_of.data();
  next.position_of_row = rows.position_of_row.data();
  next.first_of_row = rows.first_of_row.data();
  next.slot_of_row = rows.slot_of_row.data();
  next.parts_of_row = rows.parts_of_row.data();
  next.self_parts_of_row = rows.self_parts_of_row.data();
  next.parts_of = run_.sources().parts_of().data();
  next.self_parts_of = rows.self_parts_of.data();
  next.limits = limits_.data();
  next.history = history();
  next.beam = narrow(plan_.beam);
  return next;
}

template <typename T>
kernels::History DeviceSearch<T>::history() const {
  const auto& rows = run_.rows();
  return {history_tokens_.data(),
          history_scores_.data(),
          plan_.max_rows,
          {rows.ancestors[0].data(), rows.ancestors[1].data()},
          rows.ancestor_stride};
}

// A step of the model over at most `rows` rows, and what the search makes of it.
template <typename T>
void DeviceSearch<T>::launch(std::int64_t rows, std::int64_t group_rows) const {
  const auto& kernels = device_.search_kernels();
  const auto& run_rows = run_.rows();
  run_.launch_step(rows, group_rows);
  if (banned_.size() > 0) {
    kernels.ban_ngrams({run_rows.state.data(), history(), banned_.data(), banned_stride_,
                        narrow(job_.request.options.no_repeat_ngram_size), rules_, prompts_.data(),
                        prompt_offsets_.data()},
                       row_launch(device_, rows, 64, narrow((plan_.max_len + 1) * 4)));
  }
  if (draws_) {
    launch_draws(rows);
  } else {
    launch_vocabulary(rows);
  }
  launch_beam_step(rows, group_rows);
}

template <typename T>
void DeviceSearch<T>::launch_draws(std::int64_t rows) const {
  kernels::SampleArgs<T> args;
  args.state = run_.rows().state.data();
  args.logits = run_.logits();
  args.banned = banned_.data();
  args.banned_stride = banned_stride_;
  args.tokens = drawn_tokens_.data();
  args.log_probs = drawn_log_probs_.data();
  args.failed = draw_failed_.data();
  args.rules = rules_;
  args.ids = draw_ids_.data();
  args.seed = job_.request.options.draw_seed;
  args.vocab = narrow(plan_.vocab);
  args.beam = narrow(plan_.beam);
  args.topk = narrow(std::clamp<std::int64_t>(job_.request.options.sampling_topk, 0, plan_.vocab));
  args.topp = static_cast<float>(job_.request.options.sampling_topp);
  device_.kernels(T{}).sample(args, row_launch(device_, rows, kSampleThreads,
                                               kernels::sample_shared_bytes(kSampleThreads)));
}

template <typename T>
void DeviceSearch<T>::launch_vocabulary(std::int64_t rows) const {
  kernels::VocabularyArgs<T> vocabulary;
  vocabulary.state = run_.rows().state.data();
  vocabulary.logits = run_.logits();
  vocabulary.banned = banned_.data();
  vocabulary.banned_stride = banned_stride_;
  vocabulary.stats = stats_.data();
  vocabulary.values = values_.data();
  vocabulary.candidates = tokens_of_values_.data();
  vocabulary.rules = rules_;
  vocabulary.vocab = narrow(plan_.vocab);
  vocabulary.wanted = narrow(candidates_);
  const std::size_t list = kernels::list_index(narrow(plan_.beam));
  device_.kernels(T{}).vocabulary[list](
      vocabulary,
      {narrow(rows), narrow(vocabulary_parts_), 1, kVocabularyThreads,
       kernels::vocabulary_shared_bytes(vocabulary.wanted, kVocabularyThreads), device_.stream()});
}

template <typename T>
void DeviceSearch<T>::launch_beam_step(std::int64_t rows, std::int64_t group_rows) const {
  const auto& kernels = device_.search_kernels();
  const auto& run_rows = run_.rows();
  const std::size_t list = kernels::list_index(narrow(plan_.beam));
  const kernels::Survivors survivors{survivors_live_.data(),   survivors_sentence_.data(),
                                     survivors_parent_.data(), survivors_token_.data(),
                                     survivors_score_.data(),  survivors_dead_.data()};
  const kernels::FinishedTable finished{finished_count_.data(),  finished_length_.data(),
                                        finished_score_.data(),  finished_tokens_.data(),
                                        finished_scores_.data(), job_.start.steps};
  const std::int64_t groups = (rows + group_rows - 1) / group_rows;
  kernels.beam_step[list](
      {run_rows.state.data(), history(), stats_.data(), values_.data(), tokens_of_values_.data(),
       scores_.data(), dead_.data(), survivors, finished, rules_, narrow(plan_.vocab),
       narrow(vocabulary_parts_), narrow(plan_.beam), drawn_tokens_.data(),
       drawn_log_probs_.data()},
      row_launch(device_, groups, 32, kernels::beam_shared_bytes(narrow(plan_.beam))));
  kernels.compact({run_rows.state.data(), survivors, next_rows(), scratch_.data()},
                  row_launch(device_, 1, 256, 4));
}

template <typename T>
void DeviceSearch<T>::launch_captured(std::int64_t rows) {
  auto& graph = graphs_[rows];
  if (graph == nullptr) graph = device_.capture([&] { launch(rows, plan_.beam); });
  graph->launch();
}

template <typename T>
search::DecodeResult DeviceSearch<T>::decode() {
  if (!job_.start.prompts.tokens.empty()) {
    result_.counters.steps += 1;
    result_.counters.rows += ssize(job_.start.prompts.tokens.size());
  }
  for (std::int64_t step = 0; places_.left(); ++step) {
    ELBEAM_CHECK(job_.request.cancelled == nullptr || !job_.request.cancelled(),
                 ErrorCode::kInterrupted, "decoding was cancelled after ", result_.counters.steps,
                 " steps");
    std::vector<PlacedSentence> admitted = places_.admit(step);
    if (const auto next = places_.to_encode(); !next.empty()) {
      job_.encode(next);
      for (const PlacedSentence& more : places_.admit(step)) admitted.push_back(more);
    }
    if (!admitted.empty()) admit(admitted, step);
    run_.open_step(places_.longest(step));
    // All hypotheses of a sentence are equal in its first step. Where all sentences are in theirs
    // there is one row for each.
    const std::int64_t group_rows = step == 0 ? 1 : plan_.beam;
    if (step == 0) {
      launch(plan_.places, group_rows);
    } else {
      launch_captured(places_.launched() * group_rows);
    }
    post_step(step, ssize(admitted.size()) * group_rows);
    ended_ = places_.end_of_time(step);
    if (steps_posted_ > kStepsAhead) learn();
    fetch(std::exchange(ended_, {}));
  }
  while (!posted_.empty()) learn();
  return std::move(result_);
}

template <typename T>
void DeviceSearch<T>::post_step(std::int64_t step, std::int64_t new_rows) {
  const auto& rows = run_.rows();
  const Piece pieces[] = {{rows.state.data(), rows.state.bytes()},
                          {rows.rows_of.data(), plan_.places * ssize(sizeof(kernels::RowRange))}};
  posted_.push_back({device_.post(pieces), step, new_rows});
  ++steps_posted_;
}

// What lies in the places of sentences that have ended stays there until others begin.
template <typename T>
void DeviceSearch<T>::fetch(std::vector<PlacedSentence> ended) {
  if (ended.empty()) return;
  std::vector<Piece> pieces;
  for (const auto* buffer : {&finished_count_, &finished_length_, &finished_tokens_, &draw_failed_})
    pieces.push_back({buffer->data(), buffer->bytes()});
  for (const auto* buffer : {&finished_score_, &finished_scores_})
    pieces.push_back({buffer->data(), buffer->bytes()});
  posted_.push_back({device_.post(pieces), 0, 0, std::move(ended)});
}

// Looks at the oldest step that it knows nothing of, and at what was fetched before it.
template <typename T>
void DeviceSearch<T>::learn() {
  while (!posted_.empty()) {
    const Posted posted = std::move(posted_.front());
    posted_.pop_front();
    const std::byte* const data = device_.poll(posted.ticket);
    if (posted.ended.empty()) return learn_step(posted, data);
    take_finished(posted, data);
  }
}

template <typename T>
void DeviceSearch<T>::learn_step(const Posted& posted, const std::byte* data) {
  const kernels::StepState state = *take<kernels::StepState>(data, 1);
  const auto* rows_of = take<kernels::RowRange>(data, plan_.places);
  const std::int64_t rows = rows_left_ + posted.new_rows;
  if (rows > 0) {
    result_.counters.steps += 1;
    result_.counters.rows += rows;
  }
  rows_left_ = state.rows;
  --steps_posted_;
  for (const PlacedSentence& ended : places_.end(posted.step, {rows_of, usize(plan_.places)}))
    ended_.push_back(ended);
}

template <typename T>
void DeviceSearch<T>::take_finished(const Posted& posted, const std::byte* data) {
  Finished found{};
  found.count = take<std::int32_t>(data, finished_count_.size());
  found.length = take<std::int32_t>(data, finished_length_.size());
  found.tokens = take<std::int32_t>(data, finished_tokens_.size());
  const auto* failed = take<std::int32_t>(data, draw_failed_.size());
  found.score = take<float>(data, finished_score_.size());
  found.scores = take<float>(data, finished_scores_.size());
  search::check_any_possible(
      std::all_of(failed, failed + draw_failed_.size(), [](auto value) { return value == 0; }));
  for (const PlacedSentence& placed : posted.ended) {
    result_.sentences[usize(placed.source.sentence)] = hypotheses(placed, found);
    if (job_.request.finished)
      job_.request.finished(placed.source.sentence,
                            result_.sentences[usize(placed.source.sentence)]);
  }
}

template <typename T>
std::vector<search::FinishedHypothesis> DeviceSearch<T>::hypotheses(
    const PlacedSentence& placed, const Finished& finished) const {
  const SearchStart& start = job_.start;
  const std::size_t s = usize(placed.source.sentence);
  const std::int32_t count = finished.count[placed.place];
  ELBEAM_CHECK(count > 0, ErrorCode::kModel, "sentence ", s,
               " of the batch: no hypothesis can end: at the last step (", plan_.max_lens[s],
               ") the model gives the end of the sentence the probability 0 or NaN");
  std::vector<search::FinishedHypothesis> all;
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t place = placed.place * plan_.beam + k;
    search::Ancestry ancestry(plan_.max_lens[s] + 1);
    search::Ancestry::Node node = search::Ancestry::kRoot;
    for (auto t = usize(start.prompts.offsets[s]); t < usize(start.prompts.offsets[s + 1]); ++t)
      node = ancestry.extend(node, start.prompts.targets[t], start.cumulative[t]);
    for (std::int64_t t = 0; t + 1 < finished.length[place]; ++t) {
      const std::int64_t from = place * start.steps + t;
      node = ancestry.extend(node, finished.tokens[from], finished.scores[from]);
    }
    all.push_back(search::finish_hypothesis(ancestry, node, job_.request.special.eos,
                                            finished.score[place], job_.request.options));
  }
  search::sort_finished(all);
  return all;
}

template class DeviceSearch<float>;
template class DeviceSearch<kernels::Half>;

}  // namespace elbeam::device
