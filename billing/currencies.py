"""Currencies and how many decimals each has: ISO 4217, list one (the currencies and funds in use).

Published by SIX Financial Information, the maintenance agency, at
https://www.six-group.com/en/products-services/financial-information/data-standards.html. As of January 2026. A code
that the standard withdrew since is kept while months in it may still be charged; its decimals never change.
"""

DEFAULT = 2

# What the standard calls the minor unit, where it is another than 2: digits after the point.
OTHER = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
WITH_TWO = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF "
    "CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK "
    "HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR "
    "MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP "
    "SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG "
    "YER ZAR ZMW ZWG ZWL"
)
# Metals, funds and codes for no money at all: they have no minor unit ("N.A."), so nothing can be charged in them.
WITHOUT = frozenset(["XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"])

_PLACES = {code: places for places, codes in OTHER.items() for code in codes.split()}
_KNOWN = frozenset(WITH_TWO.split()) | _PLACES.keys()


def minor_units(currency: str) -> int:
    """Return how many decimals a currency has: JPY 0, USD 2, KWD 3.

    Files name currencies that no standard knows. These have 2, as most have.
    """
    return _PLACES.get(currency, DEFAULT)


def refusal(currency: str) -> str:
    """Say why nothing can be charged in a currency; "" where it can be."""
    if currency in WITHOUT:
        return f"{currency} has no decimals of its own in ISO 4217, because it is not money that anybody is charged in."
    if currency not in _KNOWN:
        return f"“{currency}” is not a currency of ISO 4217. Write its three letters, such as USD, EUR or JPY."
    return ""
