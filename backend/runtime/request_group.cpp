#include "runtime/request_group.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <utility>

namespace elbeam::runtime {
namespace {

// What holds for all sentences of a request.
GenerateRequest without_sentences(const GenerateRequest& request) {
  GenerateRequest result;
  result.allowed_tokens = request.allowed_tokens;
  result.start_token = request.start_token;
  result.end_token = request.end_token;
  result.attention = request.attention;
  result.random = request.random;
  return result;
}

}  // namespace

void detach_sentences(GenerateRequest& request, std::int64_t pad) {
  request.batch.padded_lengths.assign(request.batch.sentences.size(), request.batch.padded_length);
  std::size_t width = 0;
  for (const auto& prefix : request.prefix_tokens) width = std::max(width, prefix.size());
  for (auto& prefix : request.prefix_tokens) prefix.resize(width, pad);
}

bool can_join(const GenerateRequest& one, const GenerateRequest& other) {
  return one.prefix_tokens.empty() == other.prefix_tokens.empty() &&
         one.constraints.empty() == other.constraints.empty() &&
         one.sentence_ids.empty() == other.sentence_ids.empty() &&
         one.start_token == other.start_token && one.end_token == other.end_token &&
         one.attention == other.attention && one.random == other.random;
}

void append_sentence(RequestGroup& group, const GenerateRequest& batch, Place place) {
  if (group.places.empty()) group.request = without_sentences(batch);
  GenerateRequest& request = group.request;
  const auto row = usize(place.row);
  const std::int64_t padded = batch.batch.padded_lengths[row];
  request.batch.sentences.push_back(batch.batch.sentences[row]);
  request.batch.padded_lengths.push_back(padded);
  request.batch.padded_length = std::max(request.batch.padded_length, padded);
  if (!batch.prefix_tokens.empty()) request.prefix_tokens.push_back(batch.prefix_tokens[row]);
  if (!batch.constraints.empty()) request.constraints.push_back(batch.constraints[row]);
  if (!batch.sentence_ids.empty()) request.sentence_ids.push_back(batch.sentence_ids[row]);
  group.places.push_back(place);
}

GenerateRequest part_of(const RequestGroup& group, std::span<const std::int64_t> members) {
  RequestGroup part;
  for (const std::int64_t i : members) append_sentence(part, group.request, {0, i});
  return std::move(part.request);
}

}  // namespace elbeam::runtime
