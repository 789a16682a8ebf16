#include "text/encoder.hpp"

#include "base/check.hpp"
#include "text/utf8.hpp"

namespace elbeam::text {

void require_utf8(std::string_view line) {
  const auto invalid = find_invalid_utf8(line);
  ELBEAM_CHECK(!invalid, ErrorCode::kFormat, "line of text: not UTF-8 at byte ",
               invalid.value_or(0), ": ", quoted(line));
}

}  // namespace elbeam::text
