#include <elbeam/options.hpp>

#include "base/check.hpp"

#include <cmath>

namespace elbeam {

void SearchOptions::validate() const {
  ELBEAM_CHECK(beam >= 1, ErrorCode::kUsage, "--beam must be at least 1, got ", beam);
  ELBEAM_CHECK(nbest >= 1, ErrorCode::kUsage, "--nbest must be at least 1, got ", nbest);
  ELBEAM_CHECK(std::isfinite(max_len_a), ErrorCode::kUsage, "--max-len-a must be finite, got ",
               max_len_a);
  ELBEAM_CHECK(std::isfinite(max_len_b), ErrorCode::kUsage, "--max-len-b must be finite, got ",
               max_len_b);
  ELBEAM_CHECK(std::isfinite(lenpen), ErrorCode::kUsage, "--lenpen must be finite, got ", lenpen);
  // +inf is of use: it forbids <unk>.
  ELBEAM_CHECK(!std::isnan(unk_penalty) && !(std::isinf(unk_penalty) && unk_penalty < 0),
               ErrorCode::kUsage, "--unkpen must be a number above -inf, got ", unk_penalty);
  ELBEAM_CHECK(std::isfinite(temperature) && temperature > 0, ErrorCode::kUsage,
               "--temperature must be greater than 0, got ", temperature);
}

}  // namespace elbeam
