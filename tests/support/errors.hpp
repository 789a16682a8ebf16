// For tests of bad input.
#pragma once

#include <elbeam/error.hpp>

#include <gtest/gtest.h>

#include <string>

namespace elbeam::test {

// Runs the call, which must throw Error with this code and `part` in its message.
template <typename Function>
testing::AssertionResult throws(ErrorCode code, const std::string& part, Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    if (error.code() != code) {
      return testing::AssertionFailure()
             << "code " << error_code_name(error.code()) << ", expected " << error_code_name(code)
             << ": " << error.what();
    }
    if (std::string(error.what()).find(part) == std::string::npos) {
      return testing::AssertionFailure() << "'" << part << "' is not in: " << error.what();
    }
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "nothing was thrown";
}

}  // namespace elbeam::test
