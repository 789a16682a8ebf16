#include "archive/json_text.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"

#include <nlohmann/json.hpp>

#include <set>
#include <vector>

namespace elbeam::archive {

// Depth is bounded while it reads: whoever walks the result may recurse. So is the number of
// values: "[]" has two bytes here and seventy as a value.
nlohmann::json parse_json(std::string_view text, const std::string& where) {
  using Event = nlohmann::json::parse_event_t;
  ELBEAM_CHECK(ssize(text.size()) <= limits::kMaxConfigBytes, ErrorCode::kLimit, where, ": ",
               text.size(), " bytes, the limit is ", limits::kMaxConfigBytes);
  std::int64_t events = 0;                  // one for each value, key and end of a container
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const nlohmann::json::parser_callback_t bound = [&](int depth, Event event,
                                                      nlohmann::json& value) {
    ELBEAM_CHECK(++events <= 2 * limits::kMaxConfigValues, ErrorCode::kLimit, where, ": more than ",
                 limits::kMaxConfigValues, " values");
    ELBEAM_CHECK(depth <= limits::kMaxConfigDepth, ErrorCode::kLimit, where, ": nests deeper than ",
                 limits::kMaxConfigDepth);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto& key = value.get_ref<const std::string&>();
      ELBEAM_CHECK(keys.back().insert(key).second, ErrorCode::kFormat, where, ": the key ",
                   quoted(key), " occurs twice in one object");
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), bound);
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorCode::kFormat, where, ": not JSON: ", quoted(error.what(), 200));
  }
}

}  // namespace elbeam::archive
