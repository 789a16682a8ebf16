// A group of sentences taken from fairseq batches, as one request.
#pragma once

#include <elbeam/generator.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::runtime {

// Where a sentence of a group comes from.
struct Place {
  std::int64_t batch = 0;  // number of the fairseq batch
  std::int64_t row = 0;    // of the sentence in it
};

struct RequestGroup {
  GenerateRequest request;
  std::vector<Place> places;  // one per sentence of the request

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(places.size()); }
};

// Makes `request`, one fairseq batch, independent of its neighbours: prefixes are filled with `pad`
// to the width of the batch, and each sentence knows the batch's padded length.
void detach_sentences(GenerateRequest& request, std::int64_t pad);

// Whether sentences of these two may be in one group: their requests differ in the sentences alone.
bool can_join(const GenerateRequest& one, const GenerateRequest& other);

// Appends sentence place.row of the batch, which was detached, to the group.
void append_sentence(RequestGroup& group, const GenerateRequest& batch, Place place);

// These sentences of a group of detached ones.
GenerateRequest part_of(const RequestGroup& group, std::span<const std::int64_t> members);

}  // namespace elbeam::runtime
