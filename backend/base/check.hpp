// Checks that throw elbeam::Error, and the composition of their messages.
#pragma once

#include <elbeam/error.hpp>

#include <sstream>
#include <string>
#include <string_view>

namespace elbeam {

// Concatenates its arguments with operator<<.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Quotes bytes that come from a file or a flag for an error message: printable ASCII stays, every
// other byte becomes \xNN, and the text is cut after max_bytes. Never throws on any content.
// An object and not a function, because a function loses against std::quoted, which escapes
// nothing: argument-dependent lookup finds that one for every std::string where <iomanip> is known.
struct Quoted {
  std::string operator()(std::string_view bytes, std::size_t max_bytes = 80) const;
};
inline constexpr Quoted quoted{};

template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  throw Error(code, concat(parts...));
}

}  // namespace elbeam

// For input: throws Error(code, message) unless the condition holds.
#define ELBEAM_CHECK(condition, code, ...)               \
  do {                                                   \
    if (!(condition)) ::elbeam::fail(code, __VA_ARGS__); \
  } while (false)

// For our own mistakes: throws Error(kInternal) with the source position.
#define ELBEAM_INVARIANT(condition)                                                       \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      ::elbeam::fail(::elbeam::ErrorCode::kInternal, "internal error at ", __FILE__, ":", \
                     __LINE__, ": ", #condition, " does not hold; please report it");     \
    }                                                                                     \
  } while (false)
