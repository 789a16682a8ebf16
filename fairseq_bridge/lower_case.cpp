#include "fairseq_bridge/lower_case.hpp"

#include "base/check.hpp"

#include <unicode/ucasemap.h>

#include <cstdint>
#include <limits>
#include <memory>

namespace elbeam::fairseq {
namespace {

struct CloseCaseMap {
  void operator()(UCaseMap* map) const noexcept { ucasemap_close(map); }
};

}  // namespace

std::string lower_case(std::string_view text) {
  ELBEAM_INVARIANT(text.size() <= std::numeric_limits<std::int32_t>::max() / 4);
  const auto size = static_cast<std::int32_t>(text.size());
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UCaseMap, CloseCaseMap> map(ucasemap_open("", 0, &status));
  // No letter's lower case takes more than three times its bytes.
  std::string out(text.size() * 3 + 1, '\0');
  const std::int32_t length = ucasemap_utf8ToLower(
      map.get(), out.data(), static_cast<std::int32_t>(out.size()), text.data(), size, &status);
  ELBEAM_CHECK(U_SUCCESS(status), ErrorCode::kInternal,
               "ICU cannot map to lower case: ", u_errorName(status));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

}  // namespace elbeam::fairseq
