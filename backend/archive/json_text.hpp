// JSON out of a file that nobody vouches for.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

namespace elbeam::archive {

// `where` is the file, for messages. Throws Error: kFormat for what is not JSON or names a key of
// one object twice, kLimit for more than limits::kMaxConfig{Bytes,Depth,Values}.
nlohmann::json parse_json(std::string_view text, const std::string& where);

}  // namespace elbeam::archive
