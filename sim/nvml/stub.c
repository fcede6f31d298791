/* What stands for the driver's other libraries: a name and nothing in it. */
__attribute__((visibility("default"))) extern const char kerf_sim_stub[];
const char kerf_sim_stub[] = "a library of a simulated machine";
