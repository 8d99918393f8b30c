/* SPDX-License-Identifier: Apache-2.0 */
/* libphonenumber, behind plain C: no exception and no C++ type gets out of this file. */
#include "model/phone.h"

#include <cstring>
#include <string>

#include <phonenumbers/logger.h>
#include <phonenumbers/phonenumber.pb.h>
#include <phonenumbers/phonenumberutil.h>

using i18n::phonenumbers::NullLogger;
using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

enum { MAX_ROUNDS = 5 };

/* The library's own logger writes to stdout, which is a program's answer here, and
 * numbers are personal data. */
static const PhoneNumberUtil *
library()
{
	static const PhoneNumberUtil *util = [] {
		PhoneNumberUtil *u = PhoneNumberUtil::GetInstance();

		u->SetLogger(new NullLogger());		/* theirs from now on */
		return u;
	}();
	return util;
}

/* A local number (IS_POSSIBLE_LOCAL_ONLY) or a short code means someone else in the next
 * town or network.  Countries make their numbers longer (Benin by two digits in 2024) and
 * the tables age: where the country was given, a length that they do not know is taken. */
static bool
is_possible(const PhoneNumber &number, PhoneNumberUtil::ValidationResult length)
{
	switch (length) {
	case PhoneNumberUtil::IS_POSSIBLE:
		return true;
	case PhoneNumberUtil::INVALID_LENGTH:
	case PhoneNumberUtil::TOO_LONG:
		return number.country_code_source() == PhoneNumber::FROM_NUMBER_WITH_PLUS_SIGN ||
		    number.country_code_source() == PhoneNumber::FROM_NUMBER_WITH_IDD;
	default:
		return false;
	}
}

static bool
parse_once(const std::string &text, const char *region, enum phone_check check, std::string *ret)
{
	const PhoneNumberUtil *util = library();
	PhoneNumber number;

	/* Keeping the raw input also keeps where the country came from. */
	if (util->ParseAndKeepRawInput(text, region != nullptr ? region : "ZZ", &number) !=
	    PhoneNumberUtil::NO_PARSING_ERROR)
		return false;
	if (check == PHONE_VALID ? !util->IsValidNumber(number) :
	    !is_possible(number, util->IsPossibleNumberWithReason(number)))
		return false;
	util->Format(number, PhoneNumberUtil::E164, ret);
	return ret->size() > 1 && ret->size() < PHONE_MAX_BYTES;
}

/* A value has to read as itself when it comes back.  The library takes one trunk prefix away
 * at a time ("+31 0031 6 ...", "+52 1 15 1..."), and does not tell when another is left; so
 * what was not written in this way already is read again until nothing changes. */
static bool
parse(std::string text, const char *region, enum phone_check check, std::string *ret)
{
	for (int round = 0; round < MAX_ROUNDS; round++) {
		if (!parse_once(text, region, check, ret))
			return false;
		if (*ret == text)
			return true;
		text = *ret;
		region = nullptr;
	}
	return false;
}

bool
phone_parse(const char *text, size_t n, const char *region, enum phone_check check,
    char ret[PHONE_MAX_BYTES])
try {
	std::string e164;

	if (!parse(std::string(text, n), region, check, &e164))
		return false;
	std::memcpy(ret, e164.c_str(), e164.size() + 1);
	return true;
} catch (...) {
	return false;
}

bool
phone_has_region(const char *region)
try {
	return library()->GetCountryCodeForRegion(region) != 0;
} catch (...) {
	return false;
}
