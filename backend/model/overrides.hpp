// fairseq's --model-overrides: a Python dict of model options that replace what the file says.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

namespace elbeam::model {

// A Python literal as ast.literal_eval reads it, as JSON: dict, list, tuple, string (without
// prefix; escapes of one character, \x, \u, \U and octal), number, True, False, None. Throws
// Error(kUsage) with the place of what is none of these.
nlohmann::json parse_python_literal(std::string_view text);

// Replaces entries of config["model"] (checkpoint_utils.overwrite_args_by_name). `overrides` is
// empty or the literal of a dict; its entry "model", where it is a dict itself, is merged too.
// Throws Error(kUsage).
void override_model_config(nlohmann::json& config, const std::string& overrides);

}  // namespace elbeam::model
