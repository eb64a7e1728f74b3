"""The client against a real API: one on a test clock, named by WARMLINE_URL and WARMLINE_API_KEY, whose key is the operator's."""

import contextlib
import io
import os
import runpy
import unittest
from pathlib import Path

from warmline import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    QuotaExceededError,
    ValidationError,
    Warmline,
    WarmlineApiError,
)


@unittest.skipUnless(os.environ.get("WARMLINE_URL"), "no API: set WARMLINE_URL and WARMLINE_API_KEY")
class RealApi(unittest.TestCase):
    def setUp(self):
        self.client = Warmline()
        self.addCleanup(self.client.close)

    def bring(self, address):
        """The account brings an address."""
        return self.client.inventory.add([address], account="default")["data"][0]

    def test_the_program_of_the_documents(self):
        self.assertEqual(self.client.inventory.add(["203.0.113.77"]), {"added": 1})
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            left = runpy.run_path(str(Path(__file__).with_name("snippet.py")))
        self.addCleanup(left["client"].close)
        self.assertRegex(printed.getvalue(), r"^Progress: 7\.0\d*%\n$")
        ip, pool = left["ip"], left["pool"]
        self.assertEqual(ip["status"], "warming")
        self.assertEqual(ip["poolId"], pool["id"])
        self.assertTrue(pool["isDefault"])
        days = ip["warmingSchedule"]["days"]
        self.assertEqual([days[0]["dailyLimit"], days[6]["dailyLimit"], days[13]["dailyLimit"]], [50, 5000, -1])

    def test_the_life_of_an_ip(self):
        ips, quota = self.client.dedicated_ips, self.client.quota
        ip = self.bring("198.51.100.1")
        ip = ips.start_warmup(ip["id"], zone="Europe/Berlin", start_day=2, day_starts_at="04:00")
        self.assertEqual(ip["warmup"]["currentDailyLimit"], 100)
        self.assertEqual(ip["warmup"]["dayStartsAt"], "04:00")

        self.assertEqual(ips.hold(ip["id"], because="complaints", advance=False)["hold"]["because"], "complaints")
        self.assertEqual(quota.take(ip=ip["id"])["because"]["code"], "hold")
        self.assertIsNone(ips.resume("198.51.100.1")["hold"])
        updated = ips.update(ip["id"], ceiling={"perDay": 10}, labels={"team": "python"})
        self.assertEqual((updated["ceiling"]["perDay"], updated["labels"]), (10, {"team": "python"}))
        self.assertEqual([one["id"] for one in ips.list(label="team:python")], [ip["id"]])
        self.assertIsNone(ips.update(ip["id"], ceiling=None)["ceiling"]["perDay"])

        taken = quota.take(ip="198.51.100.1", count=3)
        self.assertTrue(taken["allowed"])
        receipt = taken["granted"][0]["receipt"]
        self.assertEqual(quota.refund(refunds=[{"receipt": receipt, "count": 1}]), {"refunded": 1})
        self.assertEqual(ips.quota(ip["id"])["day"]["used"], 2)
        self.assertEqual([day["sends"] for day in ips.ledger(ip["id"])["days"]], [2])
        self.assertFalse(quota.take(ip=ip["id"], count=1000)["allowed"])

        self.assertIsNone(ips.release(ip["id"]))
        self.assertEqual(ips.get(ip["id"])["status"], "cooldown")
        self.assertEqual(ips.restore(ip["id"])["status"], "warming")

    def test_why_mail_is_held_and_when_a_campaign_is_done(self):
        ip = self.bring("198.51.100.41")
        self.client.dedicated_ips.start_warmup(ip["id"])
        pool = self.client.dedicated_ips.create_pool(name="asked")
        self.client.dedicated_ips.add_ip_to_pool(pool["id"], ip_id=ip["id"])
        self.client.quota.take(ip=ip["id"], count=20)
        held = self.client.quota.explain(pool="asked")
        self.assertIn("198.51.100.41 used its 20 sends of this hour; 20 more from ", held["sentence"])
        self.assertEqual((held["answer"]["allowed"], held["ips"][0]["binds"]), (False, "hour"))
        demand = self.client.quota.demand(ip=ip["id"], hours=1)
        self.assertEqual((demand["wanted"], demand["granted"], len(demand["hours"])), (20, 20, 1))
        told = self.client.forecast(messages=100, pool="asked", add_ips=1)
        self.assertEqual([day["total"] for day in told["days"]], [30, 100])
        self.assertGreater(told["variants"][0]["soonerMs"], 0)

    def test_many_takes_at_once(self):
        ip = self.client.dedicated_ips.start_warmup(self.bring("198.51.100.40")["id"], plan="fourteen-day")
        takes = [{"ip": ip["id"], "count": 49}, {"pool": "nobody"}, {"ip": ip["id"], "count": 2, "class": "bulk"}]
        granted, unknown, denied = self.client.quota.take_many(takes=takes)["answers"]
        self.assertEqual((granted["allowed"], granted["remaining"]), (True, 1))
        self.assertEqual((unknown["error"]["code"], unknown["error"]["param"]), ("not_found", "pool"))
        self.assertEqual((denied["allowed"], denied["because"]["code"]), (False, "day"))
        with self.assertRaises(ValidationError) as caught:
            self.client.quota.take_many(takes=[{"ip": ip["id"]}, {"count": 0}])
        self.assertEqual(caught.exception.param, "takes.1.count")
        self.assertEqual(self.client.dedicated_ips.quota(ip["id"])["day"]["used"], 49)

    def test_pools(self):
        ips = self.client.dedicated_ips
        ip = ips.start_warmup(self.bring("198.51.100.2")["id"])
        pool = ips.create_pool(name="News / EU", warming_share=0.5)
        self.assertEqual(ips.add_ip_to_pool(pool["id"], ip_id=ip["id"])["poolId"], pool["id"])
        self.assertEqual(ips.get_pool("News / EU")["ipCount"], 1)
        self.assertEqual(ips.hold_pool(pool["id"], because="a test")["hold"]["because"], "a test")
        self.assertIsNone(ips.resume_pool(pool["id"])["hold"])
        self.assertEqual(ips.pool_quota(pool["id"])["day"]["limit"], 50)
        self.assertIsNone(ips.remove_ip_from_pool(pool["id"], ip["id"]))
        self.assertEqual(ips.update_pool(pool["id"], name="News")["name"], "News")
        self.assertIn(pool["id"], [one["id"] for one in ips.list_pools()["data"]])
        self.assertIsNone(ips.delete_pool("News"))
        with self.assertRaises(NotFoundError):
            ips.get_pool(pool["id"])

    def test_250_ips_in_three_pages(self):
        addresses = [f"10.8.{index >> 7}.{index & 127}" for index in range(250)]
        pool = self.client.dedicated_ips.create_pool(name="many")
        self.assertEqual(self.client.inventory.add(addresses, account="default")["added"], 250)
        mine = lambda ips: [ip["ipAddress"] for ip in ips if ip["ipAddress"].startswith("10.8.")]
        ips = self.client.dedicated_ips.list()
        self.assertEqual(len(ips["data"]), 100)
        self.assertTrue(ips["hasMore"])
        found = mine(ips)
        self.assertEqual(sorted(found), sorted(addresses))
        self.assertEqual(mine(ips), found)
        second = ips.next_page()
        self.assertEqual(len(second.data), 100)
        self.assertEqual(mine(second), [one for one in found if one not in mine(ips.data)])
        self.assertEqual(list(self.client.dedicated_ips.list(pool=pool["id"])), [])
        one = self.client.dedicated_ips.list(address=found[7])
        self.assertEqual([ip["ipAddress"] for ip in one], [found[7]])

    def test_the_operator(self):
        self.client.inventory.add(["2001:db8::/126"], region="eu")
        self.assertIn("2001:db8::3", [entry["address"] for entry in self.client.inventory.list(limit=10)])
        self.assertEqual(self.client.accounts.create(name="python")["name"], "python")
        self.assertIn("python", [account["name"] for account in self.client.accounts.list(limit=1)])
        before = self.client.test_clock.get()["now"]
        after = self.client.test_clock.advance(by="PT1H")["now"]
        self.assertGreater(after, before)

    def test_keys_and_changes(self):
        self.client.accounts.create(name="tenant", parent="default")
        made = self.client.keys.create(account="tenant", scopes=["read"], prefix="veil_live_", expires="P90D")
        self.assertTrue(made["key"].startswith("veil_live_"))
        self.assertEqual([key["id"] for key in self.client.keys.list(account="tenant")], [made["id"]])
        with Warmline(api_key=made["key"]) as tenant:
            self.assertEqual(tenant.dedicated_ips.list()["data"], [])
        self.assertIsNone(self.client.keys.revoke(made["id"]))

        self.bring("198.51.100.9")
        seen = list(self.client.changes(limit=2))
        self.assertFalse(self.client.changes()["gap"])
        self.client.dedicated_ips.start_warmup("198.51.100.9")
        [change] = [one for one in self.client.changes(since=seen[-1]["id"]) if one["what"] == "status"]
        self.assertEqual((change["ip"], change["to"]), ("198.51.100.9", "warming"))

    def test_webhooks(self):
        webhooks = self.client.webhooks
        made = webhooks.create(url="https://example.com/warmline", events=["ip.status_changed"])
        self.assertTrue(made["secret"].startswith("whsec_"))
        shown = webhooks.get(made["id"])
        self.assertNotIn("secret", shown)
        self.assertIn(shown, list(webhooks.list()))
        self.assertFalse(webhooks.update(made["id"], enabled=False)["enabled"])
        self.assertTrue(webhooks.update(made["id"], enabled=True, description="again")["enabled"])
        self.assertNotEqual(webhooks.rotate_secret(made["id"])["secret"], made["secret"])
        self.assertRegex(webhooks.test(made["id"])["eventId"], r"^evt_[0-9a-f]{32}$")
        self.assertEqual(webhooks.deliveries(made["id"], limit=5)["data"], [])
        webhooks.delete(made["id"])
        with self.assertRaises(NotFoundError):
            webhooks.get(made["id"])

    def test_each_refusal_is_an_error_of_its_own_kind(self):
        ips = self.client.dedicated_ips
        ip = self.bring("198.51.100.3")
        ips.release(ip["id"])
        for entry in list(self.client.inventory.list()):
            if entry["state"] == "free":
                ips.create()
        with Warmline(api_key="nobody_has_this_key_0") as stranger:
            refused = [
                (AuthenticationError, 401, "authentication_error", stranger.dedicated_ips.list),
                (NotFoundError, 404, "not_found", lambda: ips.get("ip_nobody")),
                (ConflictError, 409, "conflict", lambda: ips.start_warmup(ip["id"])),
                (ValidationError, 422, "validation_error", lambda: ips.create_pool(name="")),
                (QuotaExceededError, 422, "quota_exceeded", ips.create),
            ]
            for kind, status, code, call in refused:
                with self.subTest(code=code), self.assertRaises(kind) as caught:
                    call()
                error = caught.exception
                self.assertIsInstance(error, WarmlineApiError)
                self.assertEqual((error.status, error.code), (status, code))
                self.assertEqual(len(error.request_id), 36)
                self.assertGreater(len(str(error)), 10)
        with self.assertRaises(ValidationError) as caught:
            ips.create_pool(name="")
        self.assertEqual(caught.exception.param, "name")


if __name__ == "__main__":
    unittest.main()
