# `cmake --install`: one shared library with the public headers, the tools, a CMake package and
# a pkg-config file. find_package(elbeam) gives elbeam::elbeam; LibTorch stays inside, a user of the
# library needs neither its headers nor its CMake files.
#
# The TorchScript engine is a plug-in of its own (backend/torchscript), installed beside the library;
# ELBEAM_TORCH_RPATH says where it looks for LibTorch, by default where the build found it.

include(CMakePackageConfigHelpers)

add_library(elbeam SHARED)
add_library(elbeam::elbeam ALIAS elbeam)
foreach(module base text eval archive search kernels attention model device runtime)
  target_sources(elbeam PRIVATE $<TARGET_OBJECTS:elbeam_${module}>)
endforeach()
target_compile_features(elbeam INTERFACE cxx_std_20)
target_include_directories(elbeam INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/backend/include>
                                            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(elbeam PRIVATE Threads::Threads ZLIB::ZLIB ${CMAKE_DL_LIBS})
if(ELBEAM_CUDA)
  target_link_libraries(elbeam PRIVATE elbeam_kernels_cuda CUDA::cudart_static CUDA::cublasLt)
endif()
target_link_options(elbeam PRIVATE -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/elbeam.map)
if(ELBEAM_SANITIZE)
  target_link_options(elbeam PRIVATE -fsanitize=${ELBEAM_SANITIZE})
else()
  target_link_options(elbeam PRIVATE -Wl,--no-undefined)
endif()
set_target_properties(
  elbeam PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE CXX
                    LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/elbeam.map)

set(rpath $ORIGIN $ORIGIN/../${CMAKE_INSTALL_LIBDIR})
set(tools elbeam-bpe elbeam-eval-lm elbeam-generate elbeam-interactive elbeam-preprocess elbeam-report elbeam-score)
set_target_properties(elbeam ${tools} PROPERTIES INSTALL_RPATH "${rpath}")

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/elbeam)
install(TARGETS elbeam ${tools} EXPORT elbeam RUNTIME LIBRARY)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/backend/include/elbeam TYPE INCLUDE)
install(EXPORT elbeam NAMESPACE elbeam:: FILE elbeamConfig.cmake DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/elbeamConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/elbeamConfigVersion.cmake DESTINATION ${package_folder})
configure_file(${CMAKE_CURRENT_LIST_DIR}/elbeam.pc.in elbeam.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/elbeam.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE TYPE DOC)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/share/nonbreaking_prefixes
        DESTINATION ${CMAKE_INSTALL_DATADIR}/elbeam)
