#include "device/device_search.hpp"

#include "base/check.hpp"
#include "kernels/launch_plan.hpp"
#include "search/finished.hpp"
#include "search/multinomial.hpp"

#include <algorithm>
#include <numeric>

namespace elbeam::device {
namespace {

// Steps that the host is ahead of what it knows of the device's state.
constexpr std::size_t kStepsAhead = 2;
// A step is captured for this many different numbers of rows at most, as sentences finish.
constexpr std::int64_t kBuckets = 8;

// Each warp keeps a list of its own; few warps make few insertions, and where there are few rows
// their logits are shared out to several blocks.
constexpr int kVocabularyThreads = 64;
constexpr int kSampleThreads = 256;

}  // namespace

template <typename T>
DeviceSearch<T>::DeviceSearch(Device& device, DecodeRun<T>& run,
                              const search::DecodeRequest& request, const search::DecodePlan& plan,
                              const SearchStart& start)
    : device_(device),
      run_(run),
      request_(request),
      plan_(plan),
      start_(start),
      candidates_(2 * plan.beam),
      vocabulary_parts_(std::clamp<std::int64_t>(
          2 * device.properties().limits.multiprocessors / plan.max_rows, 1, 8)),
      banned_stride_(plan.max_len + 1),
      draws_(request.options.strategy == Strategy::kSampling) {
  rules_.pad = narrow(request.special.pad);
  rules_.eos = narrow(request.special.eos);
  rules_.unk = narrow(request.special.unk);
  rules_.min_len = narrow(std::clamp<std::int64_t>(request.options.min_len, 0, plan.max_len));
  rules_.max_len = narrow(plan.max_len);
  rules_.unk_penalty = static_cast<float>(request.options.unk_penalty);
  rules_.temperature = static_cast<float>(request.options.temperature);
  const std::int64_t rows = plan.max_rows;
  const std::int64_t steps = start.steps + 1;
  const std::int64_t lists = checked_mul(rows, vocabulary_parts_);
  const auto make = [&](auto& buffer, std::int64_t count) {
    buffer = std::remove_reference_t<decltype(buffer)>(device, count);
  };
  make(history_tokens_, checked_mul(rows, steps));
  make(history_scores_, rows * steps);
  if (request.options.no_repeat_ngram_size > 0) make(banned_, checked_mul(rows, banned_stride_));
  make(stats_, 2 * lists);
  make(values_, checked_mul(lists, candidates_));
  make(tokens_of_values_, lists * candidates_);
  for (auto* buffer : {&scores_, &survivors_score_, &finished_score_}) make(*buffer, rows);
  for (auto* buffer :
       {&dead_, &survivors_parent_, &survivors_token_, &survivors_dead_, &finished_length_}) {
    make(*buffer, rows);
  }
  for (auto* buffer :
       {&sentence_of_, &survivors_live_, &survivors_sentence_, &places_, &finished_count_}) {
    make(*buffer, plan.sentences);
  }
  make(finished_tokens_, checked_mul(rows, start.steps));
  make(finished_scores_, finished_tokens_.size());
  set_prompts();
  if (draws_) set_draws();
}

template <typename T>
void DeviceSearch<T>::set_draws() {
  drawn_tokens_ = Buffer<std::int32_t>(device_, plan_.max_rows);
  drawn_log_probs_ = Buffer<float>(device_, plan_.max_rows);
  draw_failed_ = Buffer<std::int32_t>(device_, plan_.max_rows);
  device_.clear(draw_failed_.data(), draw_failed_.bytes());
  std::vector<std::uint32_t> ids;
  for (std::int64_t s = 0; s < plan_.sentences; ++s)
    ids.push_back(search::sentence_id(request_, s));
  draw_ids_ = Buffer<std::uint32_t>(device_, ids);
}

template <typename T>
void DeviceSearch<T>::set_prompts() {
  if (start_.limits.empty()) return;
  limits_ = Buffer<kernels::SentenceLimits>(device_, start_.limits);
  rules_.limits = limits_.data();
  rules_.sentence_of = sentence_of_.data();
  if (start_.prompts.tokens.empty()) return;
  std::vector<std::int32_t> offsets;
  for (const std::int64_t offset : start_.prompts.offsets) offsets.push_back(narrow(offset));
  prompts_ = Buffer<std::int32_t>(device_, start_.prompts.tokens);
  prompt_offsets_ = Buffer<std::int32_t>(device_, offsets);
}

// All hypotheses of a sentence are equal in the first step: there is one row for each.
template <typename T>
void DeviceSearch<T>::begin() {
  const std::int64_t sentences = plan_.sentences;
  std::vector<std::int32_t> numbers(usize(sentences));
  std::iota(numbers.begin(), numbers.end(), 0);
  std::vector<kernels::RowRange> rows_of;
  for (std::int32_t s = 0; s < narrow(sentences); ++s) rows_of.push_back({s, 1});
  const kernels::StepState state{0, narrow(sentences), narrow(sentences), 1};
  const auto& rows = run_.rows();
  device_.upload(rows.state.data(), &state, sizeof state);
  const auto put = [&](const auto& buffer, const auto& host) {
    if (host.empty()) return;
    device_.upload(buffer.data(), host.data(), ssize(host.size()) * ssize(sizeof host[0]));
  };
  put(rows.tokens, start_.first_tokens);
  put(rows.rows_of, rows_of);
  put(rows.parts_of_row, run_.parts());
  put(sentence_of_, numbers);
  put(history_tokens_, start_.first_tokens);
  put(scores_, start_.scores);
  put(history_scores_, start_.scores);
  put(rows.prompt_of_row, run_.prompt_lengths());
  put(rows.self_parts_of_row, run_.self_parts());
  for (const auto* buffer : {&dead_, &finished_count_})
    device_.clear(buffer->data(), buffer->bytes());
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
                        narrow(request_.options.no_repeat_ngram_size), rules_, prompts_.data(),
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
  args.sentence_of = sentence_of_.data();
  args.ids = draw_ids_.data();
  args.seed = request_.options.draw_seed;
  args.vocab = narrow(plan_.vocab);
  args.beam = narrow(plan_.beam);
  args.topk = narrow(std::clamp<std::int64_t>(request_.options.sampling_topk, 0, plan_.vocab));
  args.topp = static_cast<float>(request_.options.sampling_topp);
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
                                        finished_scores_.data(), start_.steps};
  const std::int64_t groups = (rows + group_rows - 1) / group_rows;
  kernels.beam_step[list](
      {run_rows.state.data(), history(), stats_.data(), values_.data(), tokens_of_values_.data(),
       scores_.data(), dead_.data(), sentence_of_.data(), survivors, finished, rules_,
       narrow(plan_.vocab), narrow(vocabulary_parts_), narrow(plan_.beam), drawn_tokens_.data(),
       drawn_log_probs_.data()},
      row_launch(device_, groups, 32, kernels::beam_shared_bytes(narrow(plan_.beam))));
  kernels.compact(
      {run_rows.state.data(), survivors, history(), run_rows.tokens.data(), run_rows.parents.data(),
       scores_.data(), dead_.data(), sentence_of_.data(), run_rows.rows_of.data(),
       run_rows.parts_of_row.data(), run_rows.parts_of.data(), run_rows.self_parts_of_row.data(),
       run_rows.self_parts_of.data(), run_rows.prompt_of_row.data(), run_rows.prompt_of.data(),
       places_.data(), narrow(plan_.beam)},
      row_launch(device_, 1, 256, 4));
}

template <typename T>
void DeviceSearch<T>::launch_captured(std::int64_t rows) {
  auto& graph = graphs_[rows];
  if (graph == nullptr) graph = device_.capture([&] { launch(rows, plan_.beam); });
  graph->launch();
}

template <typename T>
std::int64_t DeviceSearch<T>::bucket(std::int64_t groups) const {
  const std::int64_t unit = (plan_.sentences + kBuckets - 1) / kBuckets;
  return std::min(plan_.sentences, (groups + unit - 1) / unit * unit);
}

template <typename T>
search::DecodeResult DeviceSearch<T>::decode() {
  begin();
  search::DecodeCounters counters;
  std::int64_t groups = plan_.sentences;
  std::int64_t learnt = plan_.sentences;  // rows of the step that is learnt about next
  std::vector<std::int64_t> tickets;
  std::size_t polled = 0;
  const auto learn = [&] {
    const auto& state = *static_cast<const kernels::StepState*>(device_.poll(tickets[polled++]));
    if (learnt > 0) {
      counters.steps += 1;
      counters.rows += learnt;
    }
    learnt = state.rows;
    groups = state.groups;
  };
  if (!start_.prompts.tokens.empty()) {
    counters.steps += 1;
    counters.rows += ssize(start_.prompts.tokens.size());
  }
  for (std::int64_t step = 0; step < start_.steps && groups > 0; ++step) {
    ELBEAM_CHECK(request_.cancelled == nullptr || !request_.cancelled(), ErrorCode::kInterrupted,
                 "decoding was cancelled after ", counters.steps, " steps");
    const std::int64_t rows = step == 0 ? plan_.sentences : bucket(groups) * plan_.beam;
    run_.open_step(step, rows);
    if (step == 0) {
      launch(rows, 1);
    } else {
      launch_captured(rows);
    }
    tickets.push_back(device_.post(run_.rows().state.data(), ssize(sizeof(kernels::StepState))));
    if (tickets.size() - polled > kStepsAhead) learn();
  }
  while (polled < tickets.size()) learn();
  search::DecodeResult result = results();
  result.counters = counters;
  return result;
}

template <typename T>
search::DecodeResult DeviceSearch<T>::results() const {
  const auto failed = draw_failed_.get();
  search::check_any_possible(std::ranges::all_of(failed, [](auto value) { return value == 0; }));
  const auto count = finished_count_.get();
  const auto length = finished_length_.get();
  const auto score = finished_score_.get();
  const auto tokens = finished_tokens_.get();
  const auto scores = finished_scores_.get();
  search::DecodeResult result;
  result.sentences.resize(usize(plan_.sentences));
  for (std::int64_t s = 0; s < plan_.sentences; ++s) {
    ELBEAM_CHECK(count[usize(s)] > 0, ErrorCode::kModel, "sentence ", s,
                 " of the batch: no hypothesis can end: at the last step (",
                 plan_.max_lens[usize(s)],
                 ") the model gives the end of the sentence the probability 0 or NaN");
    for (std::int64_t k = 0; k < count[usize(s)]; ++k) {
      const std::size_t place = usize(s * plan_.beam + k);
      const std::size_t first = place * usize(start_.steps);
      search::Ancestry ancestry(plan_.max_lens[usize(s)] + 1);
      search::Ancestry::Node node = search::Ancestry::kRoot;
      for (auto t = usize(start_.prompts.offsets[usize(s)]);
           t < usize(start_.prompts.offsets[usize(s + 1)]); ++t)
        node = ancestry.extend(node, start_.prompts.targets[t], start_.cumulative[t]);
      for (std::size_t t = 0; t + 1 < usize(length[place]); ++t)
        node = ancestry.extend(node, tokens[first + t], scores[first + t]);
      result.sentences[usize(s)].push_back(search::finish_hypothesis(
          ancestry, node, request_.special.eos, score[place], request_.options));
    }
    search::sort_finished(result.sentences[usize(s)]);
  }
  return result;
}

template class DeviceSearch<float>;
template class DeviceSearch<kernels::Half>;

}  // namespace elbeam::device
