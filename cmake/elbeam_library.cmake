# The one way to make a target of this project: elbeam_library, elbeam_executable, elbeam_test.
# Each gives the target C++20, the project's warnings and the chosen sanitizers.

function(elbeam_configure target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wshadow)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC bug 105651: false alarms for "literal" + std::string at -O3.
    target_compile_options(${target} PRIVATE -Wno-restrict)
  endif()
  if(ELBEAM_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(ELBEAM_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${ELBEAM_SANITIZE} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS)
    target_link_options(${target} PUBLIC -fsanitize=${ELBEAM_SANITIZE})
  endif()
endfunction()

# elbeam_library(<module> SOURCES <file>... DEPENDS <target>...): static target elbeam_<module> with
# alias elbeam::<module>. Includes are written from backend/ ("base/check.hpp") or from the root
# ("fairseq_bridge/flags.hpp"); public headers as <elbeam/...>.
function(elbeam_library module)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  set(target elbeam_${module})
  add_library(${target} STATIC ${arg_SOURCES})
  add_library(elbeam::${module} ALIAS ${target})
  target_include_directories(
    ${target}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/backend/include>
           $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/backend> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_link_libraries(${target} PUBLIC ${arg_DEPENDS})
  elbeam_configure(${target})
endfunction()

function(elbeam_executable name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS})
  elbeam_configure(${name})
endfunction()

# elbeam_test(<name> SOURCES <file>... DEPENDS <target>... LABELS <label>...): a GoogleTest binary,
# one ctest entry. Tests find committed data through ELBEAM_TEST_DATA (support/test_paths.hpp, which
# every test sees) and scratch space through testing::TempDir(). The folder's name is compiled into
# one small file only, so that a compiler cache serves several checkouts.
function(elbeam_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS} GTest::gtest GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE elbeam_test_paths)
  target_compile_options(${name} PRIVATE -include ${PROJECT_SOURCE_DIR}/tests/support/test_paths.hpp)
  elbeam_configure(${name})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
endfunction()
