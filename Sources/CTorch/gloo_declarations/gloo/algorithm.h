#pragma once

#include <gloo/transport/device.h>
