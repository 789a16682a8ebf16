#include "device/device_state.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace elbeam::device {

template <typename T>
DeviceState<T>::DeviceState(Device& device, const StackWeights<T>& decoder, DecodeRun<T> run,
                            double temperature, std::function<void(const DecodeRun<T>&)> finished)
    : device_(device),
      decoder_(decoder),
      run_(std::move(run)),
      temperature_(static_cast<float>(temperature)),
      finished_(std::move(finished)),
      log_probs_(device, checked_mul(run_.max_rows(), run_.vocab())) {}

template <typename T>
DeviceState<T>::~DeviceState() {
  finished_(run_);
}

template <typename T>
std::int64_t DeviceState<T>::follow_parents(std::span<const std::int64_t> parents) {
  const bool first = steps_ == 0;
  const std::int64_t bound = first ? run_.shape().sentences : ssize(sentence_of_row_.size());
  std::vector<std::int64_t> sentences;
  rows_of_.assign(usize(run_.shape().sentences), {0, 0});
  for (const std::int64_t parent : parents) {
    ELBEAM_INVARIANT(parent >= 0 && parent < bound);
    const std::int64_t sentence = first ? parent : sentence_of_row_[usize(parent)];
    ELBEAM_INVARIANT(sentences.empty() || sentence >= sentences.back());
    kernels::RowRange& range = rows_of_[usize(sentence)];
    if (range.count == 0) range.first = narrow(ssize(sentences.size()));
    ++range.count;
    ELBEAM_INVARIANT(range.count <= run_.shape().beam);
    sentences.push_back(sentence);
  }
  sentence_of_row_.swap(sentences);
  const std::int32_t rows = rows_of_[usize(sentence_of_row_.front())].count;
  const bool even = std::all_of(rows_of_.begin(), rows_of_.end(), [&](const auto& range) {
    return range.count == 0 || range.count == rows;
  });
  return even ? rows : 1;
}

template <typename T>
bool DeviceState<T>::force(const ForcedInput& input, const ForcedOutput& output) {
  if (!output.last_log_probs.empty() || !output.attention.empty()) return false;
  ELBEAM_INVARIANT(steps_ == 0 && forced_ == 0);
  ELBEAM_CHECK(ssize(input.tokens.size()) == run_.shape().sentences, ErrorCode::kUsage,
               "known tokens of ", input.tokens.size(), " sentences for a batch of ",
               run_.shape().sentences);
  const auto checked = [&](std::int64_t token) {
    ELBEAM_CHECK(token >= 0 && token < decoder_.vocab, ErrorCode::kModel, "token id ", token,
                 " is outside the decoder's vocabulary of ", decoder_.vocab);
    return narrow(token);
  };
  Prompts prompts;
  for (std::size_t s = 0; s < input.tokens.size(); ++s) {
    ELBEAM_CHECK(ssize(input.tokens[s].size()) <= run_.shape().max_steps, ErrorCode::kUsage,
                 "known tokens of sentence ", s, ": expected at most ", run_.shape().max_steps,
                 ", got ", input.tokens[s].size());
    for (const std::int64_t token : input.tokens[s]) prompts.tokens.push_back(checked(token));
    prompts.offsets.push_back(ssize(prompts.tokens.size()));
    closed_ = closed_ || input.tokens[s].size() != input.tokens.front().size();
    forced_ = std::max(forced_, ssize(input.tokens[s].size()));
    if (input.targets.empty()) continue;
    for (const std::int64_t target : input.targets[s]) prompts.targets.push_back(checked(target));
  }
  const std::vector<float> log_probs = run_.read(prompts, temperature_);
  for (std::size_t s = 0; s < input.targets.size(); ++s) {
    std::copy_n(log_probs.begin() + prompts.offsets[s], input.targets[s].size(),
                output.target_log_probs[s].begin());
  }
  return true;
}

template <typename T>
void DeviceState<T>::step(const StepInput& input, const StepOutput& output) {
  const std::int64_t rows = ssize(input.tokens.size());
  ELBEAM_INVARIANT(rows >= 1 && input.parents.size() == input.tokens.size());
  ELBEAM_INVARIANT(!closed_ && forced_ + steps_ < run_.shape().max_steps &&
                   output.attention.empty());
  const std::int64_t group_rows = follow_parents(input.parents);
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> parents;
  std::vector<std::int32_t> parts;
  for (std::size_t r = 0; r < input.tokens.size(); ++r) {
    ELBEAM_CHECK(input.tokens[r] >= 0 && input.tokens[r] < decoder_.vocab, ErrorCode::kModel,
                 "token id ", input.tokens[r], " is outside the decoder's vocabulary of ",
                 decoder_.vocab);
    tokens.push_back(narrow(input.tokens[r]));
    parents.push_back(narrow(input.parents[r]));
    parts.push_back(run_.sources().parts()[usize(sentence_of_row_[r])]);
  }
  const kernels::StepState state{narrow(steps_), narrow(rows / group_rows), narrow(rows),
                                 narrow(group_rows)};
  const auto& to = run_.rows();
  const auto put = [&](const auto& buffer, const auto& host) {
    device_.upload(buffer.data(), host.data(), ssize(host.size()) * ssize(sizeof host[0]));
  };
  device_.upload(to.state.data(), &state, sizeof state);
  put(to.tokens, tokens);
  put(to.parents, parents);
  put(to.rows_of, rows_of_);
  put(to.parts_of_row, parts);
  if (forced_ > 0) {
    std::vector<std::int32_t> lengths;
    std::vector<std::int32_t> self_parts;
    for (const std::int64_t sentence : sentence_of_row_) {
      lengths.push_back(run_.prompt_lengths()[usize(sentence)]);
      self_parts.push_back(run_.self_parts()[usize(sentence)]);
    }
    put(to.position_of_row, lengths);
    put(to.self_parts_of_row, self_parts);
  }
  run_.open_step(steps_);
  run_.launch_step(rows, group_rows);
  const std::int64_t vocab = run_.vocab();
  device_.kernels(T{}).log_prob(
      {run_.logits(), log_probs_.data(), narrow(rows), narrow(vocab), temperature_},
      row_launch(device_, rows, 256, 256 / 32 * 4));
  ELBEAM_INVARIANT(ssize(output.log_probs.size()) >= rows * vocab);
  device_.download(output.log_probs.data(), log_probs_.data(), rows * vocab * ssize(sizeof(float)));
  ++steps_;
}

template class DeviceState<float>;
template class DeviceState<kernels::Half>;

}  // namespace elbeam::device
