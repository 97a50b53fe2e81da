"""Says in every generated file, readable by machines, that a model made it and which one."""
