#include "cfetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef struct {
  const omma_fetch_request *request;
  omma_fetch_response *response;
  size_t capacity;
  int refused_address;
  int too_large;
} transfer;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void initialise(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
  (void)purpose;
  transfer *self = context;
  int admitted = 0;
  if (address->family == AF_INET) {
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->addr;
    admitted = self->request->admits(self->request->context, (const unsigned char *)&four->sin_addr, 4);
  } else if (address->family == AF_INET6) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->addr;
    admitted = self->request->admits(self->request->context, (const unsigned char *)&six->sin6_addr, 16);
  }
  if (!admitted) {
    self->refused_address = 1;
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype, address->protocol);
}

static size_t receive(char *data, size_t size, size_t count, void *context) {
  transfer *self = context;
  omma_fetch_response *response = self->response;
  size_t length = size * count;
  if (length > self->request->max_bytes - response->count) {
    self->too_large = 1;
    return 0;
  }
  if (response->count + length > self->capacity) {
    size_t capacity = self->capacity ? self->capacity : 65536;
    while (capacity < response->count + length) capacity *= 2;
    unsigned char *bytes = realloc(response->bytes, capacity);
    if (!bytes) return 0;
    response->bytes = bytes;
    self->capacity = capacity;
  }
  memcpy(response->bytes + response->count, data, length);
  response->count += length;
  return length;
}

static int progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
  (void)a, (void)b, (void)c, (void)d;
  transfer *self = context;
  return self->request->is_cancelled(self->request->context);
}

static void keep(char *target, size_t size, const char *text) {
  target[0] = 0;
  // A text that does not fit is none: half an address would be another address.
  if (text && strlen(text) < size) strcpy(target, text);
}

static omma_fetch_outcome outcome(CURLcode code, const transfer *self) {
  if (self->refused_address) return OMMA_FETCH_REFUSED_ADDRESS;
  if (self->too_large) return OMMA_FETCH_TOO_LARGE;
  switch (code) {
    case CURLE_OK: return OMMA_FETCH_DONE;
    case CURLE_COULDNT_RESOLVE_HOST: return OMMA_FETCH_NO_SUCH_HOST;
    case CURLE_COULDNT_CONNECT: return OMMA_FETCH_UNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT: return OMMA_FETCH_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED: return OMMA_FETCH_TOO_LARGE;
    case CURLE_ABORTED_BY_CALLBACK: return OMMA_FETCH_CANCELLED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR: return OMMA_FETCH_UNTRUSTED;
    default: return OMMA_FETCH_BROKEN;
  }
}

void omma_fetch(const omma_fetch_request *request, omma_fetch_response *response) {
  pthread_once(&once, initialise);
  memset(response, 0, sizeof *response);
  response->outcome = OMMA_FETCH_BROKEN;
  CURL *curl = curl_easy_init();
  if (!curl) return;
  transfer self = {.request = request, .response = response};
  curl_easy_setopt(curl, CURLOPT_URL, request->url);
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  // Behind a proxy the address that is connected to would not be the one that was looked at.
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "omma");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, request->timeout_milliseconds);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, request->timeout_milliseconds);
  curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->max_bytes);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &self);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &self);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &self);
  CURLcode code = curl_easy_perform(curl);
  response->outcome = outcome(code, &self);
  char *text = NULL;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response->status);
  if (!curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &text)) keep(response->redirect, sizeof response->redirect, text);
  text = NULL;
  if (!curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &text))
    keep(response->content_type, sizeof response->content_type, text);
  curl_easy_cleanup(curl);
}

void omma_fetch_free(omma_fetch_response *response) {
  free(response->bytes);
  response->bytes = NULL;
  response->count = 0;
}

omma_web_address omma_web_address_parse(const char *url) {
  pthread_once(&once, initialise);
  omma_web_address result = {0};
  CURLU *parsed = curl_url();
  if (!parsed) return result;
  char *scheme = NULL, *host = NULL, *port = NULL;
  // Names and passwords in addresses serve to mislead readers.
  if (!curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER) &&
      !curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) && !curl_url_get(parsed, CURLUPART_HOST, &host, 0) &&
      !curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
    keep(result.scheme, sizeof result.scheme, scheme);
    keep(result.host, sizeof result.host, host);
    result.port = atoi(port);
    result.is_valid = result.scheme[0] && result.host[0];
  }
  curl_free(scheme);
  curl_free(host);
  curl_free(port);
  curl_url_cleanup(parsed);
  return result;
}
