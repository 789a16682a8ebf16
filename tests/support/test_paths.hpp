// Where the committed test data lies: tests/data of this checkout.
#pragma once

namespace elbeam::test {

extern const char* const kDataFolder;  // defined in the build folder, from test_paths.cpp.in

}  // namespace elbeam::test

#define ELBEAM_TEST_DATA (::elbeam::test::kDataFolder)
