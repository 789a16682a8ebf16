// Command lines by Boost.Program_options, as all of elbeam's own tools read them.
#pragma once

#include <boost/program_options.hpp>

#include <string>
#include <vector>

namespace elbeam::cli {

// Stores the arguments in the variables that `flags` names, and returns what was given. Names are
// not guessed from their beginnings, and there are no positional arguments. Throws Error(kUsage).
boost::program_options::variables_map parse_flags(
    const std::vector<std::string>& arguments,
    const boost::program_options::options_description& flags);

// The same for the flags that are known here; all other arguments go to `others`, in their order.
boost::program_options::variables_map parse_known_flags(
    const std::vector<std::string>& arguments,
    const boost::program_options::options_description& flags, std::vector<std::string>& others);

}  // namespace elbeam::cli
