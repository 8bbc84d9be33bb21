// One HTTP GET through libcurl, without following redirects, from addresses that the caller admits.
#pragma once

#include <stddef.h>

typedef enum {
  OMMA_FETCH_DONE,
  OMMA_FETCH_REFUSED_ADDRESS,
  OMMA_FETCH_NO_SUCH_HOST,
  OMMA_FETCH_UNREACHABLE,
  OMMA_FETCH_UNTRUSTED,
  OMMA_FETCH_TIMEOUT,
  OMMA_FETCH_TOO_LARGE,
  OMMA_FETCH_CANCELLED,
  OMMA_FETCH_BROKEN,
} omma_fetch_outcome;

typedef struct {
  const char *url;
  size_t max_bytes;
  long timeout_milliseconds;
  void *context;
  // Whether a connection to this address (4 or 16 bytes, network order) may be opened. Asked with the very address that
  // the connection then goes to, so that a second look-up of the name cannot lead elsewhere.
  int (*admits)(void *context, const unsigned char *address, int count);
  // Whether to give up; asked about once a second and whenever data comes.
  int (*is_cancelled)(void *context);
} omma_fetch_request;

typedef struct {
  omma_fetch_outcome outcome;
  long status;
  unsigned char *bytes;
  size_t count;
  // Where a redirect leads, absolute; empty for none.
  char redirect[2048];
  char content_type[128];
} omma_fetch_response;

void omma_fetch(const omma_fetch_request *request, omma_fetch_response *response);
void omma_fetch_free(omma_fetch_response *response);

// An address of the web, taken apart by the parser that the transfer itself uses.
typedef struct {
  int is_valid;
  char scheme[16];
  char host[256];
  int port;
} omma_web_address;

omma_web_address omma_web_address_parse(const char *url);
