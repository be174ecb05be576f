/* The gate in front of every server of ours: whether a request may go on. What is looked at stands
 * in security.h and framing.h. */
#ifndef NNSTUDIO_HTTP_GATE_H
#define NNSTUDIO_HTTP_GATE_H

#include "http/server.h"

struct gate {
    const char *host;  /* what it was told to listen on; borrowed */
    const char *token; /* never NULL once it is open */
    bool loopback;     /* only this machine can reach it */
    /* the token was not chosen by anyone: this user's own processes need none */
    bool own_pass;
    /* who gives the token may use any name for us, as a proxy in front does; set by the caller */
    bool any_name;
    char made[33]; /* what `token` points to when none was given */
    double told;   /* when a wrong token was last told of */
    unsigned held; /* refusals of wrong tokens that wait; the caller counts them */
};

/* A token is made where none is given (NULL). Refused: one of less than 8 characters. `gate` must
 * stay where it is. */
int gate_open(struct gate *gate, const char *host, const char *token, struct error *error);
/* "http://127.0.0.1:8501/", with "?token=…" where one is needed. IPv6 addresses stand in brackets;
 * "any" is reached by loopback. */
#define GATE_ADDRESS_SIZE 512
void gate_address(const struct gate *gate, uint16_t port, char out[GATE_ADDRESS_SIZE]);

/* How a request is refused. */
struct refusal {
    bool wrong_token; /* one was given, and it is wrong: the answer is to take its time */
    int status;
    const char *code, *message; /* static */
};
/* True when the request may go on; else how to refuse it, headers that belong to it added. */
bool gate_admits(struct gate *gate, uint16_t port, struct request *request,
                 struct refusal *refusal);

/* Calls `answer` with the refusal: at once, or after a second when a wrong token was given. */
typedef void gate_answer_fn(void *context, struct request *request, const struct refusal *refusal);
void gate_refuse(struct gate *gate, struct server *server, struct request *request,
                 const struct refusal *refusal, gate_answer_fn *answer, void *context);

/* The target without "http://authority" in front, which proxies' clients send and every server has
 * to take; gate_admits() has looked at the authority. */
const char *gate_target(const struct request *request);
/* The token in "/path?token=T", the address of a page; NULL when it is no such address. */
const char *gate_address_token(const struct request *request);
/* Its name in this server's cookies, with the port, of which cookies know nothing. */
#define GATE_COOKIE_SIZE 32
void gate_cookie(uint16_t port, char out[GATE_COOKIE_SIZE]);

#endif
